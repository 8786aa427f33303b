"""What goes wrong with servers: nothing is lost, workers come back by themselves, and shutdown is on time."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from steadypool import JobState, Queue
from steadypool.durable.engine.errors import EngineBusy, EngineError, EngineFull, EngineGone
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.postgres import claim_cursor
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, NewJob, Settlement, Verdict
from tests.durable import app
from tests.durable.engine.postgres.server import Server, database, in_database, template
from tests.durable.programs import ROOT, start_worker
from tests.durable.working import Working
from tests.patience import eventually
from tests.pools.contract.stage import WAIT, Stage

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"  # noqa: E501


def job(**more: Any) -> NewJob:
    return NewJob("app.work", b'{"a":[]}', **more)


@contextmanager
def impatient(engine: Engine, seconds: float) -> Iterator[None]:
    """It waits no longer than that."""
    usual, engine.timeout = engine.timeout, seconds
    try:
        yield
    finally:
        engine.timeout = usual


@contextmanager
def terminating(address: str, every: float) -> Iterator[Counter[str]]:
    """Terminate every session on the database, again and again."""
    count: Counter[str] = Counter()
    ends = threading.Event()

    def terminate() -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            while not ends.wait(every):
                count["ended"] += len(connection.execute(TERMINATE).fetchall())

    thread = threading.Thread(target=terminate)
    thread.start()
    try:
        yield count
    finally:
        ends.set()
        thread.join()


def terminate_inside_a_statement(address: str) -> None:
    """End every session on the database once one of them has sent a statement that cannot go on."""
    with psycopg.connect(address) as holder:
        holder.execute("LOCK TABLE steadypool.jobs, steadypool.ready, steadypool.workers IN ACCESS EXCLUSIVE MODE")
        wait_until_blocked(address)
        # It returns when they have gone: one that has only been told to could still break off another statement.
        holder.execute(TERMINATE.replace("(pid)", "(pid, 10000)", 1))


def enqueue_each(path: str, numbers: Iterable[int]) -> set[int]:
    """Enqueue each number, whatever it takes; those for which `enqueue` returned."""
    enqueued = set()
    for number in numbers:
        try:
            app.note.enqueue(path, number)
        except EngineError:
            continue  # it may or may not be there
        enqueued.add(number)
    return enqueued


def check_books(queue: Queue, path: Path, enqueued: set[int]) -> None:
    """Everything that was enqueued has run; nothing twice but what was in flight when its worker was cut off."""
    lines = [line.split() for line in path.read_text().splitlines()]
    ran = Counter(int(number) for number, _ in lines)
    records = queue.list(JobFilter(limit=100_000))
    assert enqueued <= ran.keys(), f"lost: {sorted(enqueued - ran.keys())}"
    assert {record.state for record in records} == {JobState.COMPLETED} and len(records) == len(ran)
    assert len({token for _, token in lines}) == len(lines), "two runs had the same claim"
    again = sum(record.attempt - 1 for record in records)
    assert sum(ran.values()) - len(ran) <= again + sum(record.losses for record in records)


def test_nothing_is_lost_while_sessions_are_terminated_in_a_loop(queue: Queue, address: str, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    with Working(queue, workers=4, lease=2.0) as working:
        with terminating(address, 0.05) as count:
            numbers = itertools.takewhile(lambda n: n < 150 or count["ended"] < 20, itertools.count())
            enqueued = enqueue_each(str(path), numbers)
        # All that have hit the worker may have done so between two statements, which is no trouble.
        terminate_inside_a_statement(address)
        working.wait_for("EngineFailed")
        last = app.note.enqueue(str(path), -1)
        last.result(WAIT)
        assert enqueued
    assert start_worker("--kind", "thread", "--until-empty", "--lease", "1", "--quiet").end() == 0
    check_books(queue, path, enqueued | {-1})


def test_a_session_that_was_ended_while_idle_is_no_error(address: str) -> None:
    engine = open_engine(address)
    engine.put_many([job()])
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(TERMINATE)
    eventually(engine._session._connection.has_died)  # type: ignore[attr-defined]
    engine.put_many([job()])
    assert len(engine.list(JobFilter())) == 2
    engine.close()


def test_a_listener_listens_again(address: str) -> None:
    engine = open_engine(address)
    listener = engine.listener("work")

    def listens() -> bool:
        listener.wait(0.1)
        return bool(listener._line)  # type: ignore[attr-defined]

    eventually(listens)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(TERMINATE)
    listener.wait(2 * WAIT)  # what was told meanwhile is lost: it says so at once
    eventually(listens)
    listener.wait(0.6)
    timer = threading.Timer(0.1, lambda: engine.put_many([job()]))
    timer.start()
    began = time.monotonic()
    listener.wait(2 * WAIT)
    assert time.monotonic() - began < WAIT
    timer.join()
    listener.close()
    engine.close()


def test_a_server_that_is_restarted_is_found_again(own_server: Server, own_queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    with Working(own_queue, lease=2.0) as working:
        enqueued = enqueue_each(str(path), range(20))
        own_server.stop()
        working.wait_for("EngineFailed")
        with pytest.raises(EngineError):
            app.note.enqueue(str(path), -1)
        own_server.start()
        working.wait_for("EngineRecovered")
        enqueued |= enqueue_each(str(path), range(20, 40))
        app.note.enqueue(str(path), -1).result(WAIT)
    assert start_worker("--kind", "thread", "--until-empty", "--lease", "1", "--quiet").end() == 0
    check_books(own_queue, path, enqueued)


def test_a_job_that_runs_while_the_server_is_away_for_longer_than_the_lease(
    own_server: Server, own_queue: Queue, stage: Stage
) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(own_queue, lease=1.0) as working:
        first = stage.enter()
        own_server.stop()
        working.wait_for("EngineFailed")
        threading.Event().wait(1.5)  # longer than the lease: there is nothing else to wait for
        own_server.start()
        working.wait_for("EngineRecovered")
        first.tell("return")
        # Either it was renewed in time by the new server's clock, or it was taken back and runs once more.
        while handle.state is not JobState.COMPLETED:
            if (again := stage.enter_within(0.05)) is not None:
                again.tell("return")
        assert handle.result(WAIT) == "actor" and handle.attempts <= 2
    assert working.report is not None and not working.report.unwritten


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_the_end_is_in_time_though_the_server_is(how: str, own_server: Server, own_queue: Queue, stage: Stage) -> None:
    handle = app.act.enqueue(stage.address)
    with Working(own_queue, lease=60.0) as working:
        actor = stage.enter()
        own_server.stop() if how == "stopped" else own_server.freeze(True)
        try:
            actor.tell("return")
            began = time.monotonic()
            report = working.end(2.0)
            assert time.monotonic() - began < 2.0 + WAIT / 2
            assert report.unwritten + report.left == (handle.job_id,) and not report.ok
        finally:
            own_server.start() if how == "stopped" else own_server.freeze(False)
    own_queue.close()


def test_a_server_that_does_not_answer_is_gone(own_server: Server, own_queue: Queue) -> None:
    engine = open_engine(own_server.url)
    engine.now()
    own_server.freeze(True)
    try:
        with impatient(engine, 0.3), pytest.raises(EngineGone, match="has not answered for"):
            engine.put_many([job()])
    finally:
        own_server.freeze(False)
    engine.put_many([job()])
    engine.close()


def test_a_limit_of_connections_is_said_and_waited_for(address: str) -> None:
    address_of_worker = in_database(address, psycopg.conninfo.conninfo_to_dict(address)["dbname"], "some_worker")  # type: ignore[arg-type]
    first, second = open_engine(address_of_worker), open_engine(address_of_worker)
    first.put_many([job()])
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} CONNECTION LIMIT 1")
    with pytest.raises(EngineGone, match="too many connections"):
        second.put_many([job()])
    first.close()
    until = time.monotonic() + WAIT
    while True:
        try:
            second.put_many([job()])
            break
        except EngineGone:
            assert time.monotonic() < until
    second.close()


def test_a_statement_timeout_of_the_database_s_own_is_busy(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET statement_timeout = '100ms'")
    engine = open_engine(address)
    with psycopg.connect(address) as connection:
        connection.execute("LOCK TABLE steadypool.jobs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(EngineBusy, match="statement timeout"):
            engine.put_many([job()])
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} RESET statement_timeout")
    engine.close()  # a busy machine takes longer than that by itself
    engine.put_many([job()])
    assert len(engine.list(JobFilter())) == 1
    engine.close()


def test_who_holds_a_lock_is_waited_for_no_longer_than_our_patience(address: str) -> None:
    engine = open_engine(address)
    engine.put_many([job()])
    with psycopg.connect(address) as connection:
        connection.execute("LOCK TABLE steadypool.jobs IN ACCESS EXCLUSIVE MODE")
        with impatient(engine, 0.2), pytest.raises(EngineBusy, match="was asked to stop"):
            while True:
                with suppress(EngineGone):  # a busy machine's server may not hear of it within a second
                    engine.put_many([job()])
        # Nor is the statement left behind in the server.
        eventually(lambda: not connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall())
    engine.put_many([job()])
    engine.close()


def test_a_deadlock_is_ended_and_the_call_sent_again(address: str) -> None:
    engine = open_engine(address)
    with psycopg.connect(address) as other:
        other.execute("SET deadlock_timeout = '60s'")  # so that the engine's session is the one to be ended
        put = "SELECT * FROM steadypool.take_key('', %s, 1, NULL, now())"
        other.execute(put, ["one"])
        placed: list[Any] = []
        thread = threading.Thread(
            target=lambda: placed.extend(engine.put_many([job(id="two"), job(id="one"), job(id="three")]))
        )
        thread.start()
        wait_until_blocked(address)
        other.execute(put, ["two"])  # waits for the engine's session, which waits for this one, until it is ended
        other.rollback()
    thread.join(WAIT)
    assert [one.enqueued for one in placed] == [True, True, True]
    engine.close()


def wait_until_blocked(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        eventually(lambda: bool(connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall()))


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    server = Server(small_disk="16m")
    try:
        server.start()
    except RuntimeError as error:
        server.remove()
        pytest.skip(f"no small disk can be made here: {error}")
    try:
        engine = open_engine(server.url)
        engine.migrate()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{server.folder}/small'")
            connection.execute("ALTER TABLE steadypool.jobs SET TABLESPACE small")
        calls = 0
        with pytest.raises(EngineFull):
            for calls in range(100):  # noqa: B007
                engine.put_many([NewJob("t", bytes(0x30 + number % 10 for number in range(1900)))] * 200)
        assert len(engine.list(JobFilter(limit=100_000))) == calls * 200
        worker = engine.register("w", 60)
        claims = engine.claim(worker, ["default"], 50).claims
        settlements = [Settlement(claim, Verdict.COMPLETE) for claim in claims]
        assert engine.settle_many(settlements) == frozenset()  # what is there can be worked off
        engine.close()
    finally:
        server.remove()


SHIFTED = """
import sys, time
real, shift = time.time, float(sys.argv[1])
time.time = lambda: real() + shift
from steadypool.cli import main
sys.argv[1:] = sys.argv[2:]
main()
"""


@pytest.mark.usefixtures("quick_to_sweep")
@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_a_worker_does_not_matter(queue: Queue, hours: int) -> None:
    late = app.add.options(delay=1800).enqueue(1)
    words = ["work", "tests.durable.app:queue", "--kind", "thread", "--lease", "60", "--queue", "default"]
    process = subprocess.Popen(
        [sys.executable, "-c", SHIFTED, str(hours * 3600), *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with Working(queue, queues=("other",)) as other:  # would take back what had run out
        assert app.add.enqueue(1, 2).result(WAIT) == 3
        fails_once = app.fail.enqueue(1)
        assert fails_once.result(WAIT) == 2
        assert not other.all("JobsRecovered")
    assert late.state is JobState.SCHEDULED
    process.terminate()
    process.communicate(timeout=WAIT)


def test_a_held_snapshot_does_not_make_claims_slower(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in index entries that claims read: with a snapshot held, none of the deleted ones can be removed."""
    monkeypatch.setattr(claim_cursor, "FULL_LOOK_EVERY", 3600.0)  # how many seconds this takes does not matter then
    engine = open_engine(address)
    worker = engine.register("w", 600)
    with psycopg.connect(address) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT 1")
        read = []
        for _ in range(2):
            before = entries_read(address)
            for _ in range(20):
                engine.put_many([job(keep=0.0) for _ in range(250)])
                claims = engine.claim(worker, ["default"], 250).claims
                engine.settle_many([Settlement(one, Verdict.COMPLETE) for one in claims])
                assert len(claims) == 250
            engine.close()  # its session reports what it has counted
            read.append(entries_read(address) - before)
    # 5000 jobs each time, and as many dead entries at the head of the queue the second time. Without the marks, each
    # of its 20 claims would read those again: 100,000 more.
    assert read[1] < read[0] + 60_000
    engine.close()


def entries_read(address: str) -> int:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        [(count,)] = connection.execute(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'ready_pkey'"
        ).fetchall()
        return int(count)


def test_a_worker_works_on_a_database_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    template()
    with database() as empty:
        monkeypatch.setenv("STEADYPOOL_URL", empty)
        assert start_worker("--kind", "thread", "--until-empty", "--quiet").end() == 0
        app.queue.close()
        assert app.add.enqueue(1).state is JobState.AVAILABLE
        app.queue.close()
