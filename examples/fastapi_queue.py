"""A FastAPI service with a durable queue: what was accepted is done, also after a crash of the service.

    export STEADYPOOL_URL=postgresql://localhost/app       # or sqlite:////var/lib/app/jobs.db
    steadypool migrate $STEADYPOOL_URL                     # once
    uvicorn fastapi_queue:app --port 8000
    curl --data 'some text' http://127.0.0.1:8000/hash     # 202, and the job's id
    curl http://127.0.0.1:8000/jobs/job-1-9f3ac1d27b

Two of its jobs run at a time in the service itself. With WORKERS=0 none does: then run `steadypool work
fastapi_queue:queue` beside it, on as many machines as you like. On SIGTERM the worker claims no more. A job that has
not ended after 10 seconds is handed back, and runs again elsewhere, or after the restart.
"""

import hashlib
import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

from steadypool import Queue, Retry, UnknownJob, WorkerSettings
from steadypool.contrib.asgi import queue_lifespan

WORKERS = int(os.environ.get("WORKERS", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "100000"))

queue = Queue()


@queue.task(timeout=60, retry=Retry(3))
def hashed(text: str, rounds: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", rounds).hex()


worker = WorkerSettings(kind="thread", workers=WORKERS) if WORKERS else None
app = FastAPI(lifespan=queue_lifespan(queue, worker=worker, drain_timeout=10))


def get_queue(request: Request) -> Queue:
    return request.state.queue


Jobs = Annotated[Queue, Depends(get_queue)]


@app.post("/hash", status_code=202)
async def accept(request: Request) -> dict[str, str]:
    handle = await hashed.enqueue_async((await request.body()).decode(), ROUNDS)
    return {"job": handle.id}


@app.get("/jobs/{job}")
async def look(job: str, jobs: Jobs, seconds: float = 0.0) -> dict[str, str | None]:
    """How far a job is; with ``?seconds=5``, once it has ended, or after that time."""
    try:
        handle = await jobs.get_async(job)
        return {"state": "completed", "result": await handle.result_async(seconds)}
    except UnknownJob as error:
        raise HTTPException(404, str(error)) from None
    except TimeoutError:
        return {"state": "waits or runs", "result": None}
