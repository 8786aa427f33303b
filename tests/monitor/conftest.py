"""A runtime folder of the test's own, so that nobody else's programs are seen."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from steadypool.machinery import rendezvous
from tests.contract.kinds import KINDS, Kind


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of pool that is watched."""
    kind: Kind = request.param
    return kind


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets are. (Not pytest's own folder: the name of a Unix socket must be short.)"""
    folder = Path(tempfile.mkdtemp(prefix="runtime-", dir="/tmp"))  # others may go through that one
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(rendezvous, "own_folders", lambda: [folder / "steadypool"])
    monkeypatch.setattr(rendezvous, "folders", lambda uid: [folder / "steadypool"])
    yield folder / "steadypool"
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # the monitor may be removing its socket at this moment
