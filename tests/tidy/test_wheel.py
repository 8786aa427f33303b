"""The wheel holds all that a program needs: the quickstart's first one runs with the package out of it, and so does the
suite for those who write an engine."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.dist import ROOT, build, files_of, first_program

SECONDS = 50


SUITE = ROOT / "tests" / "durable" / "conformance"
PLUGIN = """
import sqlite3
from contextlib import contextmanager

import pytest

from steadypool.testing import EngineKind


@contextmanager
def empty_store(folder):
    yield f"sqlite:///{folder}/jobs.db"


@contextmanager
def hold(url):
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


@pytest.fixture
def engine_kind():
    return EngineKind(name="mine", empty_store=empty_store, hold=hold, remember=hold, written=str)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package out of the wheel; the suite is in it."""
    folder = tmp_path_factory.mktemp("wheel")
    build(ROOT, folder, "wheel")
    [wheel] = folder.glob("*.whl")
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.*") if path.suffix != ".pyc"}
    source |= {f"steadypool/testing/conformance/{path.name}" for path in SUITE.glob("*.py")}
    assert {name for name in files_of(wheel) if name.startswith("steadypool/")} == {s for s in source if "egg" not in s}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_the_suite_for_engines_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert [path.name for path in SUITE.glob("*.py") if "tests." in path.read_text()] == [], "import within it by a dot"
    (tmp_path / "my_engine_kind.py").write_text(PLUGIN)
    suite = ["steadypool.testing.conformance.test_details", "steadypool.testing.conformance.test_clock"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "my_engine_kind", "--pyargs", *suite],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{installed}:{tmp_path}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0 and " passed in" in ended.stdout, ended.stdout + ended.stderr


def test_the_first_program_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    program = first_program()
    (tmp_path / "program.py").write_text(f"{program.text}\nimport steadypool\nprint(steadypool.__file__)\n")
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert ended.stdout == f"{program.output}{installed / 'steadypool' / '__init__.py'}\n"
