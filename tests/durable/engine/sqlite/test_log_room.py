"""The log is made longer before it is needed, and nothing of it is ever seen."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.sqlite import log_room
from steadypool.durable.engine.sqlite.store import LOG_BYTES
from tests.durable.conformance.steps import put
from tests.durable.programs import ROOT

DRIVERS = ["sqlite3", "apsw"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def log_size(path: Path) -> int:
    return os.path.getsize(f"{path}-wal")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_log_that_is_used_is_made_longer_by_steps(path: Path, driver: str) -> None:
    engine = open_engine(f"sqlite:///{path}?driver={driver}")
    for _ in range(log_room.EVERY - 1):
        put(engine)
    assert log_size(path) < log_room.STEP
    sizes = []
    for _ in range(10):
        for _ in range(log_room.EVERY):
            put(engine)
        sizes.append(log_size(path))
    assert sizes == sorted(sizes) and sizes[0] >= log_room.STEP and sizes[-1] == LOG_BYTES
    engine.compact()  # type: ignore[attr-defined]
    assert log_size(path) < log_room.STEP
    for _ in range(log_room.EVERY):
        put(engine)
    assert log_size(path) >= log_room.STEP, "again"
    engine.close()
    check(path, 12 * log_room.EVERY - 1)


@pytest.mark.parametrize("driver", DRIVERS)
def test_not_where_no_commit_waits_for_the_disk(path: Path, driver: str) -> None:
    engine = open_engine(f"sqlite:///{path}?driver={driver}&synchronous=NORMAL")
    for _ in range(3 * log_room.EVERY):
        put(engine)
    assert log_size(path) < log_room.STEP
    engine.close()


def test_only_beyond_the_end(path: Path) -> None:
    log = Path(f"{path}-wal")
    log.write_bytes(b"frames" * 1000)
    assert log_room.make_room(str(path), LOG_BYTES)
    assert log.read_bytes() == b"frames" * 1000 + bytes(log_room.STEP)
    assert log_room.make_room(str(path), log_room.STEP + 7000)
    assert log.stat().st_size == log_room.STEP + 7000
    assert not log_room.make_room(str(path), log_room.STEP + 7000), "it is as long as it is to be"
    log.unlink()
    assert not log_room.make_room(str(path), LOG_BYTES) and not log.exists()


def test_what_room_there_is_is_left_to_the_jobs(path: Path) -> None:
    log = Path(f"{path}-wal")
    log.write_bytes(b"frames")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log_room.STEP // 2, hard))
    try:
        assert not log_room.make_room(str(path), LOG_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.read_bytes() == b"frames"


PUTTER = """
import os, sys
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.sqlite import log_room
if sys.argv[2] == "while writing":  # what a kill leaves there: half a step
    whole = os.pwrite
    def half(file, data, at):
        whole(file, data[:len(data) // 2 + 1], at)
        os.kill(os.getpid(), 9)
    log_room.os.pwrite = half
elif sys.argv[2] == "before the sync":
    log_room.os.fsync = lambda file: os.kill(os.getpid(), 9)
engine = open_engine(sys.argv[1])
while True:
    engine.put_many([NewJob("t", b"{}")])
    print(flush=True)
"""


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("when", ["while writing", "before the sync", "between commits"])
def test_a_kill_loses_nothing(path: Path, driver: str, when: str) -> None:
    url = f"sqlite:///{path}?driver={driver}"
    putter = subprocess.Popen([sys.executable, "-c", PUTTER, url, when], cwd=ROOT, stdout=subprocess.PIPE)
    assert putter.stdout is not None
    done = 0
    while putter.stdout.readline():
        done += 1
        if when == "between commits" and done == 5 * log_room.EVERY:
            putter.kill()
    assert putter.wait() == -signal.SIGKILL
    putter.stdout.close()
    assert done >= log_room.EVERY - 1 and log_size(path) >= log_room.STEP // 2
    copy = path.with_name("copy.db")  # what a machine finds that was switched off
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    for one in (path, copy):
        found = check(one)
        assert found >= done, "each that was said to be put is there"
    engine = open_engine(url)
    put(engine)
    engine.close()


def check(path: Path, jobs: int | None = None) -> int:
    """Read the file as a stranger does; returns how many jobs it has."""
    stranger = sqlite3.connect(path)
    assert stranger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    [[found]] = stranger.execute("SELECT count(*) FROM jobs").fetchall()
    stranger.close()
    assert jobs is None or found == jobs
    return int(found)
