"""The wheel holds all that a program needs: the quickstart's first one runs with the package out of it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.dist import ROOT, build, files_of, first_program

SECONDS = 50


def test_the_first_program_runs_from_the_wheel(tmp_path: Path) -> None:
    build(ROOT, tmp_path, "wheel")
    [wheel] = tmp_path.glob("*.whl")
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.*") if path.suffix != ".pyc"}
    assert {name for name in files_of(wheel) if name.startswith("steadypool/")} == {s for s in source if "egg" not in s}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = first_program()
    (tmp_path / "program.py").write_text(f"{program.text}\nimport steadypool\nprint(steadypool.__file__)\n")
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert ended.stdout == f"{program.output}{tmp_path / 'installed' / 'steadypool' / '__init__.py'}\n"
