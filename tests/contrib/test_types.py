"""The programs of docs/web.md are right by mypy's strictest measure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_programs_are_typed() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "fastapi_service.py", "flask_service.py"],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
