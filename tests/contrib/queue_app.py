"""A service on a durable queue, for `test_queue_lifespan`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from fastapi import FastAPI, Request

from steadypool import Queue, WorkerSettings
from steadypool.contrib.asgi import Readiness, queue_lifespan

BEGAN = Path(os.environ.get("BEGAN_FILE", "/nowhere"))
"""A job leaves it when it begins."""
queue = Queue()


@queue.task
def double(number: int) -> int:
    return 2 * number


@queue.task
async def until_told() -> None:
    BEGAN.touch()
    await asyncio.sleep(60)


WORKER = WorkerSettings(kind="async", workers=20) if "BEGAN_FILE" in os.environ else None
app = FastAPI(
    lifespan=queue_lifespan(queue, worker=WORKER, drain_timeout=6, on_drained=lambda report: print(report, flush=True))
)
app.mount("/ready", Readiness(lambda: app.state.worker))


@app.post("/jobs/{task}")
async def put(task: str, request: Request) -> str:
    found = request.state.queue.tasks[f"queue_app.{task}"]
    return (await found.enqueue_async(*map(int, request.query_params.getlist("number")))).id


@app.post("/results")
async def results(request: Request) -> int:
    """The sum of the results of these jobs."""
    handles = await asyncio.gather(*map(queue.get_async, await request.json()))
    return sum(await asyncio.gather(*(handle.result_async(60) for handle in handles)))
