"""A runtime folder of the test's own, so that nobody else's programs are seen."""

from __future__ import annotations

import gc
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from steadypool.pools.monitor import monitor, socket_dir
from tests.pools.contract.kinds import KINDS, Kind
from tests.pools.contract.stage import WAIT


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of pool that is watched."""
    kind: Kind = request.param
    return kind


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets are. (Not pytest's own folder: the name of a Unix socket must be short.)"""
    wait_until_nothing_is_watched()
    folder = Path(tempfile.mkdtemp(prefix="runtime-", dir="/tmp"))  # others may go through that one
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(socket_dir, "own_folders", lambda: [folder / "steadypool"])
    monkeypatch.setattr(socket_dir, "folders", lambda uid: [folder / "steadypool"])
    yield folder / "steadypool"
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # the monitor may be removing its socket at this moment


def wait_until_nothing_is_watched() -> None:
    """The socket of the test before goes a moment after its last pool; a pool made in that moment would keep it."""
    until = monotonic() + WAIT
    while monitor._monitor._server is not None:
        gc.collect()  # of pools that nobody refers to any more
        assert monotonic() < until, "a test has left a pool open"
        monitor._monitor.ring()
        threading.Event().wait(0.001)
