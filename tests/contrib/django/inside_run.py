"""Runs the tests in ``inside`` in a process that Django is set up in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LONGEST = 400.0


def run_inside(**addresses: str) -> None:
    """Run them all, with these databases; what they have printed is shown if one fails."""
    environment = {
        **os.environ,
        **{f"PROJECT_{name.upper()}": url for name, url in addresses.items()},
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(HERE / "project"), str(ROOT)]),
    }
    words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--durations=5", HERE / "inside"]
    with tempfile.TemporaryDirectory(prefix="stage-") as stage:  # the name of a Unix socket must be short
        environment["PROJECT_STAGE"] = f"{stage}/s"
        ran = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST
        )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    print(ran.stdout)
