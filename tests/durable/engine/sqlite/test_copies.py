"""Copies of the file, and a smaller file, while it is used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from steadypool import EngineError
from steadypool.durable.engine.sqlite.driver import has_wal_reset_bug
from steadypool.durable.engine.sqlite.engine import SqliteEngine
from steadypool.durable.engine.url import parse_sqlite
from tests.durable.conformance.steps import complete, job, put, take, worker
from tests.durable.programs import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture(params=["sqlite3", "apsw"])
def url(request: pytest.FixtureRequest, path: Path) -> str:
    return f"sqlite:///{path}?synchronous=NORMAL&driver={request.param}"


@pytest.fixture
def engine(url: str) -> SqliteEngine:
    engine = SqliteEngine(parse_sqlite(url))
    put(engine)
    yield engine  # type: ignore[misc]
    engine.close()


def steadypool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steadypool", *words], capture_output=True, text=True, cwd=ROOT, timeout=50
    )


def available(engine: SqliteEngine) -> int:
    return sum(row.available for row in engine.stats().queues)


class Putting:
    """A thread that puts jobs until the end of the block."""

    def __init__(self, url: str) -> None:
        self.count = 0
        self._engine = SqliteEngine(parse_sqlite(url))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._put)

    def _put(self) -> None:
        while not self._done.is_set():
            self._engine.put_many([job()])
            self.count += 1
        self._engine.close()

    def __enter__(self) -> Putting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def test_a_copy_is_a_queue_as_it_was_at_one_moment(engine: SqliteEngine, url: str, tmp_path: Path) -> None:
    engine.put_many([job(payload=b"x" * 1000) for _ in range(2000)])
    target = tmp_path / "copy.db"
    with Putting(url) as putting:
        before = available(engine)
        assert engine.back_up(str(target)) == target.stat().st_size
        assert putting.count
    copy = SqliteEngine(parse_sqlite(url.replace("jobs.db", "copy.db")))
    assert before <= available(copy) <= available(engine) == 2001 + putting.count
    put(copy)
    assert len(take(copy, worker(copy))) == 10
    copy.close()


def test_a_copy_does_not_replace_a_file_and_leaves_nothing_behind(engine: SqliteEngine, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(FileExistsError, match="name another"):
        engine.back_up(str(tmp_path / "jobs.db"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        engine.back_up(str(tmp_path / "no" / "copy.db"))
    assert set(tmp_path.iterdir()) == before


def test_a_file_becomes_smaller_while_it_is_used(engine: SqliteEngine, url: str, path: Path) -> None:
    engine.put_many([job(payload=b"x" * 1000, keep=0.0) for _ in range(5000)])
    engine.settle_many([complete(claim) for claim in take(engine, worker(engine), 6000)])
    with Putting(url) as putting:
        before, after = engine.compact()
    assert before > 4_000_000 and after < before / 2
    assert path.stat().st_size < before / 2
    assert available(engine) == putting.count
    check = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone())"
    found = subprocess.run([sys.executable, "-c", check, path], capture_output=True, text=True)
    assert found.stdout == "ok\n"
    assert engine.compact()[1] <= after + 100_000


def test_a_file_that_another_program_has_made_says_how_it_becomes_smaller(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    make = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('CREATE TABLE orders (id)'); c.commit()"
    subprocess.run([sys.executable, "-c", make, path], check=True)
    engine = SqliteEngine(parse_sqlite(f"sqlite:///{path}"))
    put(engine)
    with pytest.raises(EngineError, match="PRAGMA auto_vacuum = INCREMENTAL; VACUUM"):
        engine.compact()
    engine.close()


def test_the_commands(tmp_path: Path) -> None:
    url, copy = f"sqlite:///{tmp_path}/jobs.db", f"{tmp_path}/copy.db"
    engine = SqliteEngine(parse_sqlite(url))
    put(engine)
    engine.close()
    done = steadypool("backup", copy, "--url", url)
    assert (done.returncode, done.stdout) == (0, f"{copy}: {os.path.getsize(copy):,} bytes\n")
    for words, says in (
        (("backup", copy, "--url", url), "name another"),
        (("backup", f"{copy}2", "--url", f"sqlite:///{tmp_path}/none.db"), "there is no queue"),
        (("compact", "--url", "postgresql:///jobs"), "PostgreSQL has pg_dump"),
    ):
        refused = steadypool(*words)
        assert refused.returncode == 2 and says in refused.stderr and "Traceback" not in refused.stderr
    done = steadypool("compact", "--url", url)
    assert done.returncode == 0 and "bytes before" in done.stdout


def test_the_library_s_bug_is_told_once_for_a_file(engine: SqliteEngine, url: str) -> None:
    told = [engine.take_advisory(), SqliteEngine(parse_sqlite(url)).take_advisory(), engine.take_advisory()]
    is_told = "apsw" not in url and has_wal_reset_bug(sqlite3.sqlite_version_info)
    assert [bool(text) for text in told] == [is_told, False, False]
