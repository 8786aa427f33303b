"""The program of `docs/testing.md`, and its tests, run as a user has them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.docs.pages import page

PLUGIN = "steadypool.testing.plugin"


def test_the_program_of_the_page_and_its_tests(tmp_path: Path) -> None:
    program, tests = [block.text for block in page("testing").blocks() if "test_page.py" in block.mark]
    (tmp_path / "shop.py").write_text(program)
    (tmp_path / "test_shop.py").write_text(tests)
    # Without the other plugins of this venv: they take longer to load, in five processes, than the tests to run.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN, "-p", "xdist", "-n", "4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_finds_the_plugin_by_itself() -> None:
    assert [one.value for one in entry_points(group="pytest11", name="steadypool")] == [PLUGIN]
