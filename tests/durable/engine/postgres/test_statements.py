"""What the statements do to the server: which plans, how many rows, how much news."""

from __future__ import annotations

from time import monotonic

import psycopg

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import NewJob, Settlement, Verdict
from tests.pools.contract.stage import WAIT

JOB = NewJob("app.work", b'{"a":[]}')


def counts(address: str, column: str) -> dict[str, int]:
    """A statistic of each table, as sessions that have ended have reported it: once they have."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(address, autocommit=True) as connection:
        until = monotonic() + WAIT
        while connection.execute(f"{others} AND backend_type = 'client backend'".encode()).fetchall() != [(0,)]:
            assert monotonic() < until, "a session does not end"
        found = connection.execute(
            f"SELECT relname, {column} FROM pg_stat_user_tables WHERE schemaname = 'steadypool'".encode()
        ).fetchall()
    return dict(found)


def test_plans_stay_though_statistics_say_that_the_tables_are_empty(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ANALYZE")
    engine = open_engine(address)
    worker = engine.register("w", 60)
    engine.put_many([JOB] * 500)
    engine.put_many([NewJob("app.work", b"{}", delay=3600)] * 500)
    engine.close()  # its session reports what it has counted
    before = counts(address, "seq_tup_read")
    done: list[Settlement] = []
    leases: list[int] = []
    for _ in range(6):
        answer = engine.claim(worker, ["default"], 100, done, leases)
        done = [Settlement(claim, Verdict.COMPLETE) for claim in answer.claims]
        leases = [claim.lease for claim in answer.claims[:1]]
    engine.close()
    read = {table: count - before[table] for table, count in counts(address, "seq_tup_read").items()}
    assert {table: read[table] for table in ("jobs", "ready", "delayed", "history", "keys")} == {
        "jobs": 0, "ready": 0, "delayed": 0, "history": 0, "keys": 0
    }  # fmt: skip


def test_a_renewal_touches_one_row_however_much_the_worker_holds(address: str) -> None:
    engine = open_engine(address)
    worker = engine.register("w", 60)
    engine.put_many([JOB] * 200)
    assert len(engine.claim(worker, ["default"], 200).claims) == 200
    engine.close()
    written = "n_tup_upd + n_tup_ins + n_tup_del"
    before = counts(address, written)
    for _ in range(5):
        assert engine.renew(worker, 60)
    engine.close()
    after = counts(address, written)
    assert {table: after[table] - before[table] for table in after if after[table] != before[table]} == {"workers": 5}


def test_a_thousand_jobs_are_told_of_once_and_not_by_a_trigger(address: str) -> None:
    engine = open_engine(address)
    with psycopg.connect(address, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal").fetchall() == [(0,)]
        connection.execute('LISTEN "steadypool.work"')
        engine.put_many([JOB] * 1000)
        connection.execute("LISTEN last")
        connection.execute("NOTIFY last")
        channels = []
        for told in connection.notifies():
            channels.append(told.channel)
            if told.channel == "last":
                break
    assert channels == ["steadypool.work", "last"]
    engine.close()


def test_the_clock_that_tests_move_is_put_where_it_is_called(address: str) -> None:
    """So it costs what PostgreSQL's own costs, moved or not."""
    with psycopg.connect(address, autocommit=True) as connection:
        asked = "EXPLAIN (VERBOSE, COSTS off) SELECT steadypool.engine_clock(), steadypool.statement_clock()"
        plan = str(connection.execute(asked).fetchall())
        assert "Output: clock_timestamp(), statement_timestamp()" in plan
        connection.execute("SELECT steadypool.move_clock(60)")
        plan = str(connection.execute(asked).fetchall())
        assert "clock_timestamp() + " in plan and "steadypool" not in plan
        left = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'steadypool'::regnamespace "
            "AND prosrc ~ '(?<!pg_catalog\\.)clock_timestamp' ORDER BY proname"
        ).fetchall()
        assert [name for (name,) in left] == ["engine_clock", "move_clock", "register", "register_for", "renew"]
