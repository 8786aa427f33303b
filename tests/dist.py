"""Tries what `make dist` has built: ``python -m tests.dist dist``.

The wheel is installed into an empty environment, where the first program of the quickstart and the command run. The
wheel that is built from the unpacked sdist has to hold the same files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from tests.docs.pages import ROOT, Block, page


def first_program() -> Block:
    """The first program of the quickstart, with what it prints."""
    return next(block for block in page("quickstart").blocks() if block.kind == "python")


def files_of(wheel: Path) -> dict[str, int]:
    """The names in a wheel, each with its checksum, but for the list of them."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist() if not entry.filename.endswith("/RECORD")}


def build(source: Path, into: Path, *targets: str) -> None:
    """Build wheel and sdist, or one of them, with the backend of this environment."""
    wanted = [word for target in targets for word in ("-t", target)]
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", into, *wanted], cwd=source, check=True)


def try_wheel(wheel: Path, folder: Path) -> None:
    """Install it into an empty environment, and use it there."""
    venv.create(folder / "empty", with_pip=True)
    python = folder / "empty" / "bin" / "python"
    pins = ROOT / "requirements" / "runtime.txt"
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "--constraint", pins, wheel], check=True)
    program = first_program()
    (folder / "program.py").write_text(program.text, encoding="utf-8")
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    run = {"cwd": folder, "env": alone, "check": True, "capture_output": True, "text": True, "timeout": 50}
    printed = subprocess.run([python, "program.py"], **run).stdout  # type: ignore[call-overload]
    assert printed == program.output, printed
    version = subprocess.run([folder / "empty" / "bin" / "steadypool", "--version"], **run).stdout  # type: ignore[call-overload]
    assert wheel.name.split("-")[1] in version, version


def try_sdist(sdist: Path, wheel: Path, folder: Path) -> None:
    """Build a wheel from it, and compare."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    build(folder / sdist.name.removesuffix(".tar.gz"), folder / "again", "wheel")
    assert files_of(folder / "again" / wheel.name) == files_of(wheel)


def main(dist: Path) -> None:
    """Try the one wheel and the one sdist in that folder."""
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as name:
        try_sdist(sdist, wheel, Path(name))
        try_wheel(wheel, Path(name))
    print(f"{wheel.name} and {sdist.name} are good")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
