"""Poolers in between, and news that do not come: looking is good enough alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from steadypool import Queue
from steadypool.durable.engine.errors import EngineGone
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import JobFilter, NewJob, Settlement, Verdict
from tests.durable import app
from tests.durable.engine.postgres.cable import Cable
from tests.durable.engine.postgres.pooler import SESSIONS, pooler, program
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

JOB = NewJob("app.work", b'{"a":[]}')
LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


@pytest.fixture
def found_program() -> str:
    """Where PgBouncer is."""
    found = program()
    if found is None:
        pytest.skip("there is no pgbouncer here: tests without LISTEN stand in for it")
    return found


@pytest.fixture
def bouncer(address: str, found_program: str) -> Iterator[str]:
    """The address by way of a real PgBouncer."""
    with pooler(found_program, address) as url:
        yield url


def do_some_jobs(queue: Queue, address: str, listeners: int) -> None:
    """One while the worker is idle, one that fails first, and several at once."""
    with Working(queue, lease=10.0) as working:  # its patience is a third of that, two seconds at most
        assert app.add.enqueue(1, 1).result(WAIT) == 2
        assert app.fail.enqueue(1).result(WAIT) == 2
        handles = [app.add.enqueue(number) for number in range(20)]
        assert [handle.result(WAIT) for handle in handles] == list(range(20))
        with psycopg.connect(address) as connection:
            assert connection.execute(LISTENERS).fetchall() == [(listeners,)]
        assert not working.all("EngineFailed") and not working.all("LeaseLost")
    assert working.report is not None and working.report.ok


def test_a_worker_that_may_not_listen_looks(queue: Queue, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", f"{address}&pooled=yes")
    do_some_jobs(queue, address, listeners=0)


def test_a_worker_that_listens_in_vain_looks(queue: Queue, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cable(address, forbid_listen=True) as cable:
        monkeypatch.setenv("STEADYPOOL_URL", cable.url)
        do_some_jobs(queue, address, listeners=0)
        assert cable.forbidden


def test_a_worker_behind_a_real_pooler(
    queue: Queue, address: str, bouncer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", f"{bouncer}&pooled=yes")
    do_some_jobs(queue, address, listeners=0)


def test_a_worker_that_does_not_know_of_the_pooler(
    queue: Queue, address: str, found_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would prepare statements that another session gets under that name, and listens in somebody else's session."""
    with pooler(found_program, address, more="ignore_startup_parameters = options") as url:
        engine = open_engine(url)
        for _ in range(5):
            engine.now()
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(SESSIONS):
                assert connection.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
        engine.close()
        monkeypatch.setenv("STEADYPOOL_URL", url)
        with Working(queue, lease=2.0):
            handles = [app.add.enqueue(number) for number in range(20)]
            assert [handle.result(WAIT) for handle in handles] == list(range(20))


def test_a_pooler_that_was_not_told_of_is_named(bouncer: str) -> None:
    engine = open_engine(bouncer)
    with pytest.raises(EngineGone, match="pooled=yes"):
        engine.put_many([JOB])
    engine.close()


def test_prepared_statements_that_a_pooler_lost_are_sent_plainly(address: str) -> None:
    engine = open_engine(address)
    for _ in range(5):
        engine.put_many([JOB])
    engine._session._connection.pgconn.exec_(b"DEALLOCATE ALL")  # type: ignore[attr-defined]
    engine.put_many([JOB])
    assert len(engine.list(JobFilter())) == 6
    engine.close()


def test_more_engines_than_a_real_pooler_has_sessions(bouncer: str) -> None:
    engines = [open_engine(f"{bouncer}&pooled=yes") for _ in range(6)]
    workers = [engine.register(f"w{number}", 60) for number, engine in enumerate(engines)]
    seen = 0
    for number in range(60):
        engines[number % 6].put_many([JOB] * 3)
        engine, worker = engines[(number * 5 + 2) % 6], workers[(number * 5 + 2) % 6]
        claims = engine.claim(worker, ["default"], 3).claims
        seen += len(claims)
        assert engine.settle_many([Settlement(c, Verdict.COMPLETE) for c in claims]) == frozenset()
        assert engine.renew(worker, 60)
    assert seen == 180
    listener = engines[0].listener("work")
    began = time.monotonic()
    listener.wait(0.2)
    assert time.monotonic() - began < WAIT
    listener.close()
    for engine in engines:
        engine.close()
