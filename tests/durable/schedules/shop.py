"""A queue with tasks for schedules, and what the tests do with it over and over."""

from __future__ import annotations

from datetime import datetime

from steadypool import Cron, Every, JobState, Queue, current_job
from steadypool.durable.engine.records import JobRecord, tick_of_id
from steadypool.durable.engine.schedules import ScheduleRow

Schedule = Cron | Every


def queue_of(url: str, *schedules: Schedule, release: str | None = None) -> Queue:
    """A version of the program: its task ``nightly`` has these schedules."""
    queue = Queue(url, app="shop", release=release)

    @queue.task(name="shop.nightly", schedule=list(schedules))
    def nightly(number: int = 0) -> list[str | None]:
        job = current_job()
        return [job.schedule, str(job.scheduled_for)]

    return queue


def row(queue: Queue, name: str = "shop.nightly") -> ScheduleRow:
    [found] = queue.engine.schedules.get([name])
    return found


def jobs_of(queue: Queue, name: str = "shop.nightly") -> list[JobRecord]:
    """The jobs that the schedule has put, in the order in which they were put."""
    found = [record for record in queue.list(limit=10_000) if (tick_of_id(record.id) or ("",))[0] == name]
    return sorted(found, key=lambda record: record.number)


def ticks_of(queue: Queue, name: str = "shop.nightly") -> list[float]:
    """The ticks that have a job, in the order in which these were put."""
    return [tick_of_id(record.id)[1].timestamp() for record in jobs_of(queue, name)]  # type: ignore[index]


def work_once(queue: Queue) -> None:
    """One worker comes, does what is due, and goes."""
    queue.work(kind="thread", workers=1, until_empty=True)


def moments(ticks: list[datetime]) -> list[float]:
    return [tick.timestamp() for tick in ticks]


def is_completed(record: JobRecord) -> bool:
    return record.state is JobState.COMPLETED
