"""mypy reads the programs that users write (the examples, the documents); `api.py` and `mistakes.py` pyright, too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_blocks import programs

HERE = Path(__file__).parent
FILES = [HERE / "api.py", HERE / "mistakes.py"]
SECONDS = 170
"""With an empty cache on a busy machine; else it is three."""
pytestmark = pytest.mark.timeout(180)
PYRIGHT = {
    "typeCheckingMode": "standard",
    "enableTypeIgnoreComments": False,
    "reportUnnecessaryTypeIgnoreComment": "error",
    "pythonVersion": "3.11",
    "extraPaths": [str(ROOT / "src")],
}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A package of the programs in the documents."""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for program in programs():
        text, block = program.values
        (folder / f"{re.sub(r'[^a-z0-9]', '_', program.id.lower())}.py").write_text(text, encoding="utf-8")
        assert block.kind == "python"
    return folder


def test_mypy(pages: Path) -> None:
    said = run(["mypy", "--config-file", str(ROOT / "pyproject.toml"), *FILES, ROOT / "examples", pages])
    assert said.startswith("Success"), said


def test_pyright(tmp_path: Path) -> None:
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(json.dumps({"include": [str(path) for path in FILES], **PYRIGHT}))
    said = run(["basedpyright", "-p", settings, "--pythonpath", sys.executable])
    assert said.startswith("0 errors"), said


def run(command: list[str | Path]) -> str:
    """What a checker prints."""
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "src"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return ended.stdout + ended.stderr
