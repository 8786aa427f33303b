"""The log beside the file, removed while it is used."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from steadypool import EngineGone
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.sqlite import log
from steadypool.durable.engine.sqlite.lock_holders import holders_of
from tests.durable.conformance.steps import job, put
from tests.durable.programs import ROOT
from tests.patience import WAIT

ENDS = ("-wal", "-shm", "-lock")
REMOVED = [names for count in (1, 2, 3) for names in itertools.combinations(ENDS, count) if names != ("-lock",)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture(params=["sqlite3", "apsw"])
def url(request: pytest.FixtureRequest, path: Path) -> str:
    return f"sqlite:///{path}?synchronous=NORMAL&driver={request.param}"


@pytest.fixture
def engine(url: str) -> Engine:
    engine = open_engine(url)
    engine.timeout = 5.0
    put(engine)
    engine.stats()
    yield engine  # type: ignore[misc]
    engine.close()


def remove(path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        os.unlink(f"{path}{name}")


def put_elsewhere(url: str, patience: float = 5.0) -> subprocess.CompletedProcess[str]:
    """A process of its own puts a job; it waits that long until it gives up."""
    code = (
        "import sys; from steadypool.durable.engine.open import open_engine; "
        "from steadypool.durable.engine.records import NewJob; "
        "engine = open_engine(sys.argv[1]); engine.timeout = float(sys.argv[2]); "
        "engine.put_many([NewJob('t', b'{}')]); engine.close()"
    )
    return subprocess.run([sys.executable, "-c", code, url, str(patience)], cwd=ROOT, capture_output=True, text=True)


def available(engine: Engine) -> int:
    return sum(row.available for row in engine.stats().queues)


@pytest.mark.parametrize("names", REMOVED)
def test_it_is_told_once_and_nothing_is_lost(engine: Engine, url: str, path: Path, names: tuple[str, ...]) -> None:
    other = open_engine(url)  # of the same process: the two share what SQLite knows of the file
    put(other)
    remove(path, names)
    with pytest.raises(EngineGone, match="is saved in the file"):
        put(engine)
    for one in (engine, other):
        put(one)
    assert put_elsewhere(url).returncode == 0
    assert available(engine) == available(other) == 5
    other.close()


@pytest.mark.parametrize("names", REMOVED)
def test_who_only_looks_is_told_too(engine: Engine, path: Path, names: tuple[str, ...]) -> None:
    remove(path, names)
    with pytest.raises(EngineGone, match="is saved in the file"):
        engine.stats()
    assert available(engine) == 1


def test_another_process_that_uses_it_saves_nothing_away(engine: Engine, url: str, path: Path) -> None:
    other = Other(url)
    remove(path, ("-wal", "-shm"))
    with pytest.raises(EngineGone, match="is saved in the file"):
        put(engine)
    put(engine)
    assert other.put().startswith("EngineGone")
    assert other.put() == "put"
    put(engine)
    other.end()
    assert available(engine) == 5


class Other:
    """A process that puts a job and keeps the file open; and another whenever it is asked to."""

    def __init__(self, url: str) -> None:
        code = (
            "import sys\n"
            "from steadypool.durable.engine.open import open_engine\n"
            "from steadypool.durable.engine.records import NewJob\n"
            "engine = open_engine(sys.argv[1])\n"
            "while True:\n"
            "    try:\n"
            "        engine.put_many([NewJob('t', b'{}')])\n"
            "        print('put', flush=True)\n"
            "    except Exception as error:\n"
            "        print(type(error).__name__, error, flush=True)\n"
            "    if not sys.stdin.readline(): break\n"
            "engine.close()\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, url], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._read() == "put"

    def put(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> None:
        self._process.communicate("", timeout=WAIT)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")


@pytest.mark.skipif(holders_of(__file__) is None, reason="the system does not say who has locked what")
@pytest.mark.parametrize("names", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_who_comes_then_makes_no_other(
    engine: Engine, url: str, path: Path, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(path, names)
    refused = put_elsewhere(url, patience=0.2)
    assert "EngineGone" in refused.stderr and f"by process {os.getpid()}" in refused.stderr
    with pytest.raises(EngineGone, match="is saved in the file"):
        put(engine)
    assert put_elsewhere(url).returncode == 0
    assert available(engine) == 2


@pytest.mark.parametrize("names", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_one_that_another_program_has_made_is_left_alone(
    engine: Engine, url: str, path: Path, names: tuple[str, ...]
) -> None:
    stranger = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE IF NOT EXISTS o (a)')"
    remove(path, names)
    subprocess.run([sys.executable, "-c", f"{stranger}; c.commit()", str(path)], check=names != ("-wal",))
    if None in log._found(str(path)):
        pytest.skip("it has made none")
    with pytest.raises(EngineGone, match="another process has made a new one"):
        put(engine)
    put(engine)
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if "-wal" not in names:
        assert check.execute("SELECT count(*) FROM o").fetchall() == [(0,)]
    check.close()


def test_the_lock_file_is_made_anew(engine: Engine, url: str, path: Path) -> None:
    other = open_engine(url)
    put(other)
    remove(path, ("-lock",))
    put(engine)
    put(other)
    inode = os.stat(f"{path}-lock").st_ino
    put(engine)
    assert os.stat(f"{path}-lock").st_ino == inode
    other.close()


def test_threads_that_find_it_at_the_same_moment_all_go_on(engine: Engine, url: str, path: Path) -> None:
    others = [open_engine(url) for _ in range(4)]
    for other in others:
        other.put_many([job()])
        other.stats()
    put_by: list[int] = []

    def go_on(other: Engine) -> None:
        done = 0
        while done < 5:
            try:
                other.put_many([job()])
                done += 1
                other.stats()
            except EngineGone:
                pass
        put_by.append(done)

    remove(path, ("-wal", "-shm"))
    threads = [threading.Thread(target=go_on, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert put_by == [5] * 4
    assert 25 <= available(engine) <= 30
    for other in others:
        other.close()
