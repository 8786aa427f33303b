"""Enqueueing in the caller's own transaction, and from forked children."""

from __future__ import annotations

import os
import sqlite3
import warnings
from pathlib import Path

import apsw
import pytest

from steadypool import Queue, SchemaMismatch, UnknownJob
from steadypool.durable.engine.sqlite.driver import has_wal_reset_bug
from steadypool.rules import claim_size
from tests.durable import app
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.filterwarnings("ignore:SQLite :RuntimeWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def queue(path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("STEADYPOOL_URL", f"sqlite:///{path}?synchronous=NORMAL")
    app.add.enqueue(0)  # makes the tables
    yield app.queue  # type: ignore[misc]
    app.queue.close()


def test_the_job_is_there_if_and_only_if_the_transaction_commits(queue: Queue, path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    handle = app.add.enqueue(1, connection=connection)
    connection.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(UnknownJob, match="never enqueued"):
        handle.record()
    connection.rollback()
    with pytest.raises(UnknownJob):
        handle.record()
    assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    with connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        handle = app.add.enqueue(2, connection=connection)
    assert handle.record().payload == b'{"one":2}'
    connection.close()


def test_without_tables_the_error_says_what_makes_them(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER)")
    queue = Queue(f"sqlite:///{path}")
    with connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        with pytest.raises(SchemaMismatch, match="steadypool migrate sqlite:///"):
            queue.task(app.add.fn).enqueue(1, connection=connection)
    assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    connection.close()


def test_workers_hear_of_such_a_job_when_they_are_woken(
    queue: Queue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_size, "LOOK_AGAIN", 3600.0)
    with Working(queue):
        assert app.add.enqueue(0).result(WAIT) == 0
        connection = sqlite3.connect(path)
        with connection:
            handle = app.add.enqueue(1, connection=connection)
        connection.close()
        queue.wake()
        assert handle.result(WAIT) == 1


@pytest.mark.skipif(not has_wal_reset_bug(sqlite3.sqlite_version_info), reason="the SQLite here has not the bug")
def test_a_library_that_can_damage_the_file_is_warned_about_once(queue: Queue, path: Path) -> None:
    queue.close()
    connection = sqlite3.connect(path, isolation_level=None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            app.add.enqueue(1, connection=connection)
    connection.close()
    [warning] = told
    assert warning.category is RuntimeWarning and Path(warning.filename).name == Path(__file__).name
    assert "connection=... included" in str(warning.message)


def test_a_connection_that_commits_each_statement_commits_this_one_too(queue: Queue, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    assert app.add.enqueue(1, connection=connection).record().payload == b'{"one":1}'
    connection.execute("BEGIN IMMEDIATE")
    handle = app.add.options(unique="k").enqueue(2, connection=connection)
    again = app.add.options(unique="k").enqueue(2, connection=connection)
    assert handle.job_id == again.job_id and not again.enqueued
    connection.execute("ROLLBACK")
    with pytest.raises(UnknownJob):
        handle.record()
    connection.close()


def test_a_connection_to_something_else_is_refused(queue: Queue, path: Path, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    with pytest.raises(TypeError, match=r"other[.]db, and the queue to .*jobs[.]db"):
        app.add.enqueue(1, connection=other)
    other.close()
    memory = sqlite3.connect(":memory:")
    with pytest.raises(TypeError, match="a database in memory"):
        app.add.enqueue(1, connection=memory)
    memory.close()
    for wrong in (5, apsw.Connection(":memory:")):
        with pytest.raises(TypeError, match="must be a connection of sqlite3"):
            app.add.enqueue(1, connection=wrong)


def test_apsw_in_the_caller_s_transaction(path: Path) -> None:
    queue = Queue(f"sqlite:///{path}?driver=apsw")
    task = queue.task(_nothing)
    task.enqueue()
    connection = apsw.Connection(str(path))
    with connection:
        handle = task.enqueue(connection=connection)
        with pytest.raises(UnknownJob):
            handle.record()
    assert handle.record().task.endswith("_nothing")
    connection.close()
    queue.close()


def _nothing() -> None:
    pass


def test_a_forked_child_enqueues_by_a_connection_of_its_own(queue: Queue) -> None:
    pid = os.fork()
    if pid == 0:
        handle = app.add.options(id="from the child").enqueue(5)
        os._exit(0 if handle.enqueued else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert queue.get("from the child").record().payload == b'{"one":5}'
    assert app.add.enqueue(6).enqueued
