"""Jobs that belong to no pool."""

from __future__ import annotations

from typing import Any

from steadypool import JobFuture
from steadypool.model.options import TaskOptions


class Nobody:
    """Owns jobs, and does nothing for them but to note what is asked of it."""

    name = "nobody"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def cancel(self, job: JobFuture[Any], running: bool, cause: str = "cancelled") -> bool:
        """Nothing is ever cancelled."""
        self.asked.append(("cancel", job, running))
        return False

    def has_begun(self, job: JobFuture[Any]) -> bool:
        """What somebody was given runs."""
        return True

    def begin_wait(self, job: JobFuture[Any] | None) -> object:
        """Everybody may wait."""
        self.asked.append(("begin_wait", job))
        return "waiting"

    def end_wait(self, waiting: object) -> None:
        """The wait is over."""
        self.asked.append(("end_wait", waiting))

    def expect_wait(self) -> None:
        """Somebody will wait in the standard library's way."""
        self.asked.append(("expect_wait",))


def loose_job(number: int = 0, priority: int = 0, owner: Nobody | None = None, **options: Any) -> JobFuture[Any]:
    """A job that waits for whoever settles it."""
    made = TaskOptions(priority=priority, **options)
    return JobFuture(owner or Nobody(), made, print, (), {}, None, 0.0, number)
