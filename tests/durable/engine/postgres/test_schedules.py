"""Schedules on PostgreSQL: what a look costs, and who may do what."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import psycopg
import pytest

from steadypool import EngineError, Every, Queue
from tests.durable.engine.postgres import server
from tests.durable.schedules.shop import queue_of

MANY = 100_000
FILL = """
INSERT INTO steadypool.schedules (name, origin, definition, job, hash, due, seen_at)
SELECT 'tenant-' || n, 'data', '{}', '{}', 'h',
       now() + CASE WHEN n = 77777 THEN interval '-1 s' ELSE interval '1 h' END, now()
FROM generate_series(1, %s) n
"""


def test_one_that_is_due_of_many_is_found_by_a_few_pages(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(FILL, [MANY])
        connection.execute("VACUUM ANALYZE steadypool.schedules")
        look = "SELECT name FROM steadypool.due_schedules('{}', 100, 0)"
        for _ in range(3):  # what the session learns once is not looked up again
            assert connection.execute(look.encode()).fetchall() == [("tenant-77777",), (None,)]
        [[plan]] = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {look}".encode()).fetchall()
        top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] <= 10


def test_who_enqueues_may_put_and_remove_schedules_and_reads_none(address: str) -> None:
    enqueuer = server.in_database(address, urlsplit(address).path[1:], "some_enqueuer")
    with queue_of(address) as owner, Queue(enqueuer, app="web") as queue:
        nightly = queue.task(owner.tasks["shop.nightly"].fn, name="shop.nightly")
        put = queue.schedules.put("one", nightly.call(), Every(hours=1))
        assert [handle.name for handle in owner.schedules.list()] == ["one"] and put.next(2)[1] > put.next()[0]
        with pytest.raises(EngineError, match="permission denied"):
            queue.schedules.list()
        put.remove()
        assert owner.schedules.list() == []
