"""A program with jobs, as a user's is."""

from __future__ import annotations

from datetime import datetime

from steadypool import Cron, Limit, Queue, Retry, Snooze, current_job

queue = Queue("sqlite:////nowhere/at/all/jobs.db")
seen: list[object] = []


class Refused(Exception):
    """What a job raises."""


@queue.task(queue="mail")
def welcome(user_id: int, lang: str = "en") -> str:
    seen.append((user_id, lang))
    return f"welcome {user_id}"


@queue.task(retry=Retry(5))
def charge(order: int, amount: float = 1.0) -> None:
    seen.append(current_job().attempt)
    raise Refused(f"order {order}")


@queue.task
def sign_up(user_id: int) -> None:
    welcome.options(delay=60).enqueue(user_id)


@queue.task
def double(number: int) -> int:
    return 2 * number


@queue.task
def broken() -> None:
    raise Refused("always")


@queue.task
def forever() -> None:
    forever.enqueue()


@queue.task
def when(moments: tuple[datetime, ...]) -> tuple[datetime, ...]:
    assert isinstance(moments, tuple)
    return moments


@queue.task
async def fetch(url: str) -> str:
    import asyncio

    await asyncio.sleep(0)
    seen.append(asyncio.get_running_loop())
    return url


@queue.task
def later() -> None:
    raise Snooze(3600)


@queue.task(schedule=Cron("30 2 * * *", tz="Europe/Berlin"))
def nightly() -> None:
    seen.append(current_job().scheduled_for)


@queue.task
def route(queue: str, delay: int) -> str:
    return f"{queue} {delay}"


@queue.task(limit=Limit("stripe", starts=1, per=60))
def pay(order: int) -> None:
    seen.append(order)


@queue.task
def report() -> str:
    return "all are there"
