"""Two versions of workers side by side, rules, and addresses."""

from __future__ import annotations

import psycopg
import pytest

from steadypool.durable.engine.errors import SchemaMismatch
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.postgres import schema
from steadypool.durable.engine.postgres.claim_cursor import ClaimCursor
from steadypool.durable.engine.postgres.listen import NotifyThrottle
from steadypool.durable.engine.records import JobFilter, NewJob, Settlement, Verdict
from steadypool.durable.engine.sweep_guard import ClockGuard
from steadypool.durable.engine.url import parse_postgres
from tests.durable.engine.postgres import server

JOB = NewJob("app.work", b'{"a":[]}')
LATER = """
ALTER TABLE steadypool.jobs ADD COLUMN colour text;
ALTER TABLE steadypool.history ADD COLUMN colour text;
UPDATE steadypool.versions SET version = 99, works_from = {works_from};
"""


def test_a_worker_goes_on_when_a_later_version_migrates(address: str) -> None:
    engine = open_engine(address)
    worker = engine.register("old", 60)
    engine.put_many([JOB, JOB])
    [first] = engine.claim(worker, ["default"], 1).claims
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(LATER.format(works_from=1).encode())
    done = Settlement(first, Verdict.COMPLETE, b"1")
    [second] = engine.claim(worker, ["default"], 1, [done], [first.lease]).claims
    engine.settle_many([Settlement(second, Verdict.RETRY, delay=60)])
    engine.close()
    assert engine.put_many([JOB])[0].enqueued  # a new connection looks at the version again
    assert {record.state.value for record in engine.list(JobFilter())} == {"completed", "retryable", "available"}
    assert engine.schema().found == 99 and engine.schema().pending == ()
    with pytest.raises(SchemaMismatch, match="later than"):
        engine.migrate()
    engine.close()


def test_a_version_that_old_workers_cannot_work_with_says_so(address: str) -> None:
    engine = open_engine(address)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(LATER.format(works_from=99).encode())
    with pytest.raises(SchemaMismatch, match="use a later Steadypool"):
        engine.put_many([JOB])
    engine.close()


def test_no_tables_no_jobs() -> None:
    with server.database() as empty:
        engine = open_engine(empty)
        with pytest.raises(SchemaMismatch, match="run: steadypool migrate postgresql://"):
            engine.put_many([JOB])
        engine.migrate()
        engine.put_many([JOB])
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute("DROP SCHEMA steadypool CASCADE")
        with pytest.raises(SchemaMismatch):
            engine.put_many([JOB])
        engine.close()


def test_a_schema_of_another_name_and_two_in_one_database(address: str) -> None:
    one, other = open_engine(address), open_engine(f"{address}&schema=other_jobs")
    other.migrate()
    other.put_many([JOB])
    assert len(other.list(JobFilter())) == 1 and one.list(JobFilter()) == []
    one.close()
    other.close()


def test_each_step_is_a_file_and_the_tables_are_tuned(address: str) -> None:
    assert len(schema.all_steps()) == schema.VERSION
    with psycopg.connect(address) as connection:
        tuned = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'steadypool'::regnamespace "
            "AND array_to_string(reloptions, ',') LIKE '%autovacuum_vacuum_threshold%'"
        ).fetchall()
    assert {name for (name,) in tuned} >= {"jobs", "ready", "delayed", "workers", "leases", "keys", "schedules"}


# -- rules, with numbers alone


def test_marks_leave_out_what_was_claimed_and_nothing_else() -> None:
    marks = ClaimCursor()
    marks.claimed([("q", 0, 10), ("q", 0, 7), ("q", -5, 3)])
    ranges = marks.ranges(["q", "other"])

    def is_looked_at(queue: str, rank: int, number: int) -> bool:
        return any(
            name == queue and (after_rank, after) < (rank, number) <= (upto_rank, upto)
            for name, after_rank, after, upto_rank, upto in zip(*ranges, strict=True)
        )

    assert not is_looked_at("q", 0, 10) and not is_looked_at("q", 0, 1) and not is_looked_at("q", -5, 3)
    for entry in (("q", 0, 11), ("q", -5, 4), ("q", -6, 1), ("q", -1, 1), ("q", 1, 1), ("other", 0, 1)):
        assert is_looked_at(*entry), entry
    order = [(queue != "q", rank) for queue, rank in zip(ranges.queue, ranges.after_rank, strict=True)]
    assert order == sorted(order), "the highest priority is not looked at first"


def test_marks_look_from_the_beginning_once_a_second_and_no_more_often_than_it_is_cheap() -> None:
    marks = ClaimCursor()
    assert marks.must_look(0.0)
    marks.looked(0.0, cost=0.1)
    assert not marks.must_look(0.9) and marks.must_look(1.0)
    assert not marks.may_look(1.9) and marks.may_look(2.0)
    marks.looked(5.0, cost=0.001)
    assert marks.may_look(5.0)
    marks.look_soon()
    assert marks.must_look(5.0)


def test_a_clock_that_jumps_takes_nobody_s_lease() -> None:
    steady = ClockGuard()
    assert steady.allows_sweep(server=1000.0, ours=0.0, lease=6.0)
    assert steady.allows_sweep(server=1001.0, ours=1.0, lease=6.0)
    assert not steady.allows_sweep(server=4602.0, ours=2.0, lease=6.0)  # an hour forward
    assert not steady.allows_sweep(server=4607.0, ours=7.0, lease=6.0)
    assert steady.allows_sweep(server=4608.1, ours=8.1, lease=6.0)
    assert steady.allows_sweep(server=1000.0, ours=9.1, lease=6.0)  # back: leases hold for longer, nobody is hurt


def test_one_call_in_ten_milliseconds_tells_of_work_and_one_that_came_late_tells_afterwards() -> None:
    sparing = NotifyThrottle()
    assert [sparing.must_notify(now) for now in (0.0, 0.004, 0.009, 0.011, 0.012)] == [True, False, False, True, False]
    assert not sparing.came_late(0.020) and sparing.came_late(0.022)


# -- addresses


def test_an_address_says_where_and_never_the_password() -> None:
    address = parse_postgres("postgresql://me:secret@db.example:6432/jobs?sslmode=require&schema=work&pooled=yes")
    assert address.parameters["sslmode"] == "require" and address.parameters["password"] == "secret"
    assert (address.schema, address.pooled) == ("work", True)
    assert address.url == "postgresql://me@db.example:6432/jobs?schema=work"
    assert parse_postgres("postgresql:///jobs?host=/run/pg").url == "postgresql:///jobs?host=/run/pg"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://db/jobs?colour=red", "colour"),
        ("postgresql://db/jobs?schema=My-Jobs", "lower-case"),
        ("postgresql://db/jobs?pooled=perhaps", "yes, no"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_engine(url)
