"""SQLite done right: fairness, a full disk, a bounded WAL, the wrong file system, files that go away."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from steadypool import EngineBusy, EngineError, EngineFull, EngineGone, Queue, SchemaMismatch
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.sqlite import engine as sqlite_engine
from steadypool.durable.engine.sqlite import schema, store
from steadypool.durable.engine.sqlite.driver import has_wal_reset_bug
from steadypool.durable.engine.url import parse_sqlite
from tests.durable.conformance.steps import complete, job, put, record, take, worker
from tests.durable.programs import start_greedy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def engine(path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{path}?synchronous=NORMAL")
    engine.timeout = 5.0
    yield engine  # type: ignore[misc]
    engine.close()


def test_processes_that_write_without_a_pause_do_not_starve_another(engine: Engine, path: Path) -> None:
    put(engine)
    greedy = [start_greedy(f"sqlite:///{path}?synchronous=NORMAL") for _ in range(2)]
    try:
        for one in greedy:
            assert one.process.stdout is not None and one.process.stdout.readline() == "writing\n"
        for _ in range(50):
            put(engine)  # it must get its turn again and again; SQLite's own waiting gives it none at all
    finally:
        for one in greedy:
            one.kill()


def test_a_full_disk_is_said_and_loses_nothing(engine: Engine) -> None:
    kept = put(engine)
    writer = engine._store._open.writer  # type: ignore[attr-defined]
    [[pages]] = writer.execute("PRAGMA page_count").fetchall()
    writer.execute(f"PRAGMA max_page_count = {pages + 20}").fetchall()
    with pytest.raises(EngineFull, match="no room left"):
        for _ in range(100):
            engine.put_many([job(payload=b"x" * 4000) for _ in range(10)])
    assert record(engine, kept).id == kept
    writer.execute("PRAGMA max_page_count = 1000000").fetchall()
    before = len(take(engine, worker(engine), 1000))
    assert before % 10 == 1  # whole transactions, or nothing
    put(engine)


def test_a_database_that_is_locked_by_a_stranger_is_said(engine: Engine, path: Path) -> None:
    put(engine)
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    engine.timeout = 0.1
    with pytest.raises(EngineBusy, match="locked"):
        put(engine)
    stranger.execute("ROLLBACK")
    stranger.close()
    engine.timeout = 5.0
    put(engine)


def test_a_file_that_was_removed_is_told_until_somebody_makes_another(engine: Engine, path: Path) -> None:
    put(engine)
    path.unlink()
    for _ in range(3):
        with pytest.raises(EngineGone, match=r"was removed.*steadypool migrate sqlite:///"):
            put(engine)
        assert not path.exists()
    with pytest.raises(SchemaMismatch, match="there is no queue"):
        engine.get("job-1")
    path.touch()  # an empty file is no queue, either
    with pytest.raises(EngineGone, match="was removed"):
        put(engine)
    path.unlink()
    other = open_engine(f"sqlite:///{path}")
    other.migrate()
    with pytest.raises(EngineGone, match="was replaced"):
        put(engine)
    assert put(engine).startswith("job-1-")  # a new file, from the start
    other.close()


def test_whoever_is_asked_to_make_a_removed_file_anew_does_so(engine: Engine, path: Path) -> None:
    put(engine)
    path.unlink()
    with pytest.raises(EngineGone):
        put(engine)
    assert engine.migrate().pending
    assert put(engine).startswith("job-1-")


def test_a_file_that_was_replaced_is_told_once(engine: Engine, path: Path, tmp_path: Path) -> None:
    backup = open_engine(f"sqlite:///{tmp_path}/backup.db")
    for _ in range(3):
        put(backup)
    backup.close()
    put(engine)
    for name in ("-wal", "-shm"):
        Path(f"{path}{name}").unlink()
    (tmp_path / "backup.db").rename(path)
    with pytest.raises(EngineGone, match="was replaced by another file"):
        put(engine)
    assert put(engine).startswith("job-4-")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/no/jobs.db")
    with pytest.raises(EngineGone, match="there is no folder"):
        engine.put_many([job()])


def test_something_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(EngineError, match="not a database"):
        open_engine(f"sqlite:///{path}").put_many([job()])


def test_tables_of_a_later_version_are_left_alone(engine: Engine, path: Path) -> None:
    put(engine)
    stranger = sqlite3.connect(path)
    stranger.execute("UPDATE steadypool_schema SET version = 999")
    stranger.commit()
    stranger.close()
    other = open_engine(f"sqlite:///{path}")
    for call in (lambda: other.put_many([job()]), other.migrate):
        with pytest.raises(SchemaMismatch, match="999"):
            call()
    other.close()


def test_the_wal_stays_bounded_under_continuous_writing(engine: Engine, path: Path) -> None:
    listener = engine.listener("work")
    who = worker(engine)
    for _ in range(60):
        engine.put_many([job(payload=b"x" * 500) for _ in range(200)])
        engine.settle_many([complete(claim) for claim in take(engine, who, 200)])
        engine.stats()
    listener.close()
    assert os.path.getsize(f"{path}-wal") < 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 54, 1), False),
    ],
)
def test_which_libraries_can_damage_a_file(version: tuple[int, ...], has_it: bool) -> None:
    assert has_wal_reset_bug(version) is has_it


def test_an_engine_says_so_of_its_library(engine: Engine, path: Path) -> None:
    assert bool(engine.advisory) is has_wal_reset_bug(sqlite3.sqlite_version_info)
    assert not open_engine(f"sqlite:///{path}?driver=apsw").advisory


def test_a_network_file_system_is_refused(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    assert store.file_system_of("/proc/self") in ("proc", "")
    monkeypatch.setattr(store, "file_system_of", lambda path: "nfs4")
    with pytest.raises(EngineError, match=r"network file system \(nfs4\)"):
        open_engine(f"sqlite:///{path}").put_many([job()])


def test_a_commit_waits_for_the_disk_unless_told_otherwise(path: Path, tmp_path: Path) -> None:
    for url, wanted in ((f"sqlite:///{path}", 2), (f"sqlite:///{tmp_path}/other.db?synchronous=NORMAL", 1)):
        engine = open_engine(url)
        put(engine)
        writer = engine._store._open.writer  # type: ignore[attr-defined]
        assert writer.execute("PRAGMA synchronous").fetchall() == [(wanted,)]
        assert writer.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        engine.close()


def test_a_forked_child_does_not_use_what_its_parent_has_open(engine: Engine) -> None:
    put(engine)
    pid = os.fork()
    if pid == 0:
        try:
            engine.put_many([job()])
        except EngineError as error:
            os._exit(0 if "after the fork" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    put(engine)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("jobs.db", "did you mean sqlite:///jobs.db"),
        ("sqlite://jobs.db", "three before a relative path"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlit:///jobs.db", "did you mean sqlite://"),
        ("sqlite:///jobs.db?synchronous=OFF", "FULL, NORMAL"),
        ("sqlite:///jobs.db?mode=ro", "there are synchronous and driver"),
    ],
)
def test_an_address_that_makes_no_sense(url: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        open_engine(url)


def test_an_address(path: Path) -> None:
    address = parse_sqlite("sqlite:////var/lib/app%20one/jobs.db?synchronous=normal&driver=apsw")
    assert (address.path, address.synchronous, address.driver) == ("/var/lib/app one/jobs.db", "NORMAL", "apsw")


def test_every_statement_of_the_tables_is_listed(engine: Engine) -> None:
    assert engine.schema().pending == schema.pending_statements(0)


def test_a_sweep_that_was_held_up_leaves_time_to_renew(engine: Engine, path: Path) -> None:
    put(engine)
    who = worker(engine, 0.0)
    take(engine, who)
    stranger = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    stranger.execute("BEGIN IMMEDIATE")

    def let_go_later() -> None:
        while is_free(f"{path}-lock"):
            pass  # the sweep has still to come to its turn
        threading.Event().wait(sqlite_engine.HELD_UP + 0.1)
        stranger.execute("ROLLBACK")

    thread = threading.Thread(target=let_go_later)
    thread.start()
    assert engine.sweep(100).workers == ()  # nobody could write, the worker that wanted to renew included
    thread.join()
    stranger.close()
    assert engine.renew(who, 60.0)
    assert engine.sweep(100).workers == ()


def is_free(lock: str) -> bool:
    """Whether nobody holds the lock of that file."""
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_looking_for_work_in_vain_writes_nothing(engine: Engine, path: Path) -> None:
    put(engine, delay=3600.0)
    who = worker(engine)
    stranger = sqlite3.connect(path)
    [[before]] = stranger.execute("PRAGMA data_version").fetchall()
    for _ in range(3):
        assert take(engine, who) == []
        engine.sweep(100)
        engine.prune(100)
        engine.stats()
    assert stranger.execute("PRAGMA data_version").fetchall() == [(before,)]
    stranger.close()


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setitem(sys.modules, "apsw", None)
    with Queue(f"sqlite:///{path}?driver=apsw") as queue:
        task = queue.task(lambda: 1)
        for call in (task.enqueue, queue.stats):
            with pytest.raises(ImportError, match=r"pip install 'steadypool\[apsw\]'"):
                call()
