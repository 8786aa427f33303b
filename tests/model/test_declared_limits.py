"""Limits of one name that modules declare say the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steadypool import Limit, task
from steadypool.model import declared_limits

ONE = """
from steadypool import Limit, task

@task(limit=Limit("declared-twice", running={running}))
def {name}() -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where modules are imported from. Nothing of them is there afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(declared_limits, "_DECLARED", {})
    yield tmp_path
    for name in ("limits_of_one", "limits_of_two"):
        sys.modules.pop(name, None)


def test_two_tasks_whose_limits_of_one_name_differ_are_refused(folder: Path) -> None:
    (folder / "limits_of_one.py").write_text(ONE.format(running=5, name="fetch"))
    (folder / "limits_of_two.py").write_text(ONE.format(running=10, name="post"))
    importlib.import_module("limits_of_one")
    both = (
        r"limits_of_two\.post has Limit\(.*running=10.* limits_of_one\.fetch has Limit\(.*running=5.*of the same name"
    )
    with pytest.raises(ValueError, match=both):
        importlib.import_module("limits_of_two")


def test_a_module_that_runs_again_may_say_something_else(folder: Path) -> None:
    for running in (5, 10):
        (folder / "limits_of_one.py").write_text(ONE.format(running=running, name="fetch"))
        sys.modules.pop("limits_of_one", None)
        importlib.invalidate_caches()
        importlib.import_module("limits_of_one")
    (folder / "limits_of_two.py").write_text(ONE.format(running=10, name="post"))
    importlib.import_module("limits_of_two")


def test_tasks_that_a_function_makes_are_its_own() -> None:
    for running in (1, 2):
        task(len, limit=Limit("made-twice", running=running))
        task(repr, limit=Limit("made-twice", running=3))
