"""Tasks of an installed app, which workers find by themselves."""

from __future__ import annotations

import os
import socket
from datetime import date
from typing import Any

from django.db import connections

from steadypool import Cron, JobTimeout, Limit, Retry, current_job
from steadypool.contrib.django import task


@task
def noop(*args: object, **kwargs: object) -> None:
    pass


@task
async def noop_async(*args: object) -> None:
    pass


@task(queue_name="mail", priority=5)
def meaning(question: str = "") -> int:
    return 42


@task
def give_back(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@task
def fail(text: str = "no") -> None:
    raise ValueError(text)


class Refused(Exception):
    pass


@task(retry=Retry(3, backoff=0.0))
def refuse(number: int) -> None:
    from shop.models import Order

    Order.objects.create(number=number * 100 + current_job().attempt)
    raise Refused(f"order {number}")


@task
def return_a_date() -> date:
    return date(2026, 11, 30)


@task(takes_context=True)
def tell(context: Any, number: int) -> list[Any]:
    result = context.task_result
    return [context.attempt, context.job.id, result.id, result.status, result.attempts, number]


@task
def save(number: int) -> int:
    from shop.models import Order

    Order.objects.create(number=number)
    return Order.objects.filter(number__lte=number).count()


@task
async def save_async(number: int) -> int:
    from shop.models import Order

    await Order.objects.acreate(number=number)
    return await Order.objects.filter(number=number).acount()


@task(kind="process")
def save_in_process(number: int) -> int:
    return save.call(number)


@task
def busy_timeout() -> float | None:
    """Seconds that a statement waits for a file that others write to, where the settings do not say."""
    if connections["other"].vendor == "sqlite":
        with connections["other"].cursor() as cursor:
            return cursor.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
    return None


@task
def save_and_follow(number: int) -> None:
    """Saves, and has another job do the same."""
    save.enqueue(number)
    if number % 10:
        save_and_follow.enqueue(number + 1)


@task(unique="order-{number}", timeout=30)
def only_once(number: int, note: str = "") -> str:
    return note


@task(limit=[Limit("stripe", running=2), Limit("tenant", starts=1, per=3600, by="tenant")], lane="tenant", timeout=9)
def charge(tenant: int, amount: int = 1) -> int:
    return tenant * amount


@task(timeout=600, kind="process", retry=Retry(1, on=JobTimeout))
def hang() -> None:
    while True:
        pass


@task(timeout=600)
def wait_for_the_test(name: str) -> list[Any]:
    """Say that it runs, and wait for a line: on the socket that the environment names."""
    with socket.socket(socket.AF_UNIX) as stage:
        stage.connect(os.environ["PROJECT_STAGE"])
        stage.sendall(f"{name} {os.getpid()} {current_job().meta['fencing_token']}\n".encode())
        return [stage.makefile().readline().strip(), current_job().attempt]


@task(schedule=Cron("0 3 * * *", name="nightly", args={"deep": True}))
def clean(deep: bool = False) -> bool:
    return deep
