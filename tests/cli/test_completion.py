"""What docs/command-line.md says of completion works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import WAIT

STEADYPOOL = Path(sys.executable).with_name("steadypool")


@pytest.mark.skipif(not STEADYPOOL.exists(), reason="the package is not installed as a program")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_told_how(shell: str) -> None:
    said = subprocess.run(
        [STEADYPOOL],
        env={**os.environ, "_STEADYPOOL_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert "_STEADYPOOL_COMPLETE" in said.stdout


@pytest.mark.skipif(not STEADYPOOL.exists(), reason="the package is not installed as a program")
def test_commands_are_completed() -> None:
    words = {"COMP_WORDS": "steadypool mi", "COMP_CWORD": "1", "_STEADYPOOL_COMPLETE": "bash_complete"}
    said = subprocess.run(
        [STEADYPOOL], env={**os.environ, **words}, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert "migrate" in said.stdout
