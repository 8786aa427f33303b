"""What Celery beat does with an entry, and what a queue does with the lines that were printed for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab

from steadypool import Queue


def ticks_in_celery(zone: str, start: datetime, count: int = 5, **fields: Any) -> list[datetime]:
    """When Celery puts the jobs of ``crontab(**fields)``: what it waits for, from each tick to the next."""
    app = Celery(set_as_current=False)
    app.conf.timezone = zone
    ticks: list[datetime] = []
    now = start.astimezone(ZoneInfo(zone))
    for _ in range(count):
        wait = crontab(**fields, app=app, nowfun=lambda at=now: at).remaining_estimate(now)
        now = (now.astimezone(UTC) + wait).astimezone(ZoneInfo(zone))
        ticks.append(now)
    return ticks


def pasted(lines: str, url: str) -> Queue:
    """A queue whose program has these lines in it; tasks that they only name are there, too."""
    queue = Queue(url)
    queue.engine.migrate()
    before, put, after = lines.partition("# Kept as data")
    exec(compile(before, "pasted.py", "exec"), {"queue": queue})
    for name in set(re.findall(r"queue\.tasks\['(.+?)'\]", after)) - queue.tasks.keys():
        queue.task(name=name)(_any_call)
    exec(compile(f"from steadypool import Cron, Every\n{put}{after}", "pasted.py", "exec"), {"queue": queue})
    return queue


def _any_call(*args: Any, **kwargs: Any) -> None: ...
