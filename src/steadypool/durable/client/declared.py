"""The schedules that a task is declared with: ``@queue.task(schedule=...)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from steadypool.durable.client.options import EnqueueKeywords, Kind
from steadypool.durable.client.schedule import Cron, Every, Schedule

Declared = tuple[tuple[str, Schedule], ...]
"""Each with its name."""


class DurableKeywords(EnqueueKeywords, total=False):
    """The options of ``@queue.task`` as keywords, for type checkers."""

    aliases: Iterable[str]
    schedule: Schedule | Sequence[Schedule]
    kind: Kind | None
    checkpoint: Any


def as_schedules(given: object) -> tuple[Schedule, ...]:
    """The value of the option, as a tuple.

    Raises:
        TypeError: it is neither a schedule nor some of them.
    """
    found = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    for one in found:
        if not isinstance(one, (Cron, Every)):
            instead = f"; Every(seconds={one!r})?" if isinstance(one, (int, float)) else ""
            instead = f"; Cron({one!r})?" if isinstance(one, str) else instead
            raise TypeError(f"schedule must be Cron(...), Every(...), or a list of them, not {one!r}{instead}")
    return tuple(found)


def check_for_many(task: str, job_id: str | None, at: object, after: object) -> None:
    """Do nothing, unless a job of *task* has an id, a moment, or jobs to wait for, of its own.

    Raises:
        ValueError: it has: a schedule puts many jobs.
    """
    for name, value in (("id", job_id), ("at", at), ("after", after or None)):
        if value is not None:
            raise ValueError(f"{task} has {name}={value!r}, and a schedule puts many jobs of it: leave {name} out")
