"""What named queues hold, counted up to a bound: see `Engine.depths`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from steadypool.model.queue_depth import MOST_COUNTED, QueueDepth

_LATER = """
    SELECT j.queue, count(*), CASE WHEN d.due <= :now AND d.task IS NULL THEN 'available'
                                   WHEN d.retry THEN 'retryable' ELSE 'scheduled' END
    FROM (SELECT due, number, retry, task FROM delayed ORDER BY due, number LIMIT :most) d
    JOIN jobs j ON j.number = d.number GROUP BY 1, 3"""
_AT_WORK = """
    SELECT j.queue, count(DISTINCT j.number), 'running'
    FROM leases l, json_each(l.jobs) h JOIN jobs j ON j.number = json_extract(h.value, '$[0]')
    WHERE NOT EXISTS (SELECT 1 FROM ready r WHERE r.queue = j.queue AND r.rank = j.rank AND r.number = j.number)
    AND NOT EXISTS (SELECT 1 FROM gated g WHERE g.number = j.number)
    AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.job = j.number)
    AND NOT EXISTS (SELECT 1 FROM delayed d WHERE d.number = j.number) GROUP BY 1"""
_FOR_OTHERS = """
    SELECT j.queue, count(*), 'waiting' FROM (SELECT job FROM waiting LIMIT :most) w
    JOIN jobs j ON j.number = w.job GROUP BY 1"""
_OF_ONE = """
    SELECT :queue, EXISTS (SELECT 1 FROM queues WHERE name = :queue AND paused),
    (SELECT count(*) FROM (
        SELECT 1 FROM ready WHERE queue = :queue UNION ALL SELECT 1 FROM gated WHERE queue = :queue
        LIMIT :most)),
    (SELECT count(*) FROM (SELECT 1 FROM history WHERE queue = :queue AND state = 'discarded' LIMIT :most))"""
# The first of each priority, a hundred priorities at most.
_OLDEST = """
    WITH RECURSIVE ranks (rank) AS (
        SELECT min(rank) FROM ready WHERE queue = :queue
        UNION ALL SELECT (SELECT min(rank) FROM ready WHERE queue = :queue AND rank > ranks.rank)
        FROM ranks WHERE ranks.rank IS NOT NULL LIMIT 100)
    SELECT min(j.enqueued_at) FROM ranks JOIN jobs j
    ON j.number = (SELECT min(number) FROM ready WHERE queue = :queue AND rank = ranks.rank)"""


def read(connection: Any, queues: Sequence[str], now: float, most: int = MOST_COUNTED) -> list[QueueDepth]:
    """The queues, in that order."""
    counts: Counter[tuple[str, str]] = Counter()
    for statement, values in (
        (_LATER, {"now": now, "most": most}),
        (_AT_WORK, {}),
        (_FOR_OTHERS, {"most": most}),
    ):
        for queue, count, state in connection.execute(statement, values).fetchall():
            counts[queue, state] += count
    return [
        _depth(connection, counts, now, *connection.execute(_OF_ONE, {"queue": queue, "most": most}).fetchall()[0])
        for queue in queues
    ]


def _depth(connection: Any, counts: Counter[tuple[str, str]], now: float, queue: str, *of_one: int) -> QueueDepth:
    paused, ready, discarded = of_one
    [(oldest,)] = connection.execute(_OLDEST, {"queue": queue}).fetchall()
    return QueueDepth(
        queue,
        paused=bool(paused),
        available=ready + counts[queue, "available"],
        oldest_available=0.0 if oldest is None else max(0.0, now - oldest),
        scheduled=counts[queue, "scheduled"],
        waiting=counts[queue, "waiting"],
        retryable=counts[queue, "retryable"],
        running=counts[queue, "running"],
        discarded=discarded,
    )
