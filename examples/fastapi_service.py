"""A FastAPI service whose jobs run in processes: CPU-bound work, time limits, and an end that is on time.

    uvicorn fastapi_service:app --port 8000
    gunicorn fastapi_service:app -k asgi -b 127.0.0.1:8000
    curl --data 'some text' http://127.0.0.1:8000/hash
    curl -f http://127.0.0.1:8000/ready

On SIGTERM the server takes no more requests; those under way have 10 seconds, and jobs that run longer are stopped.
"""

import hashlib
import os

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from steadypool import JobCancelled, JobTimeout, PoolClosed, ProcessPool, QueueFull, task
from steadypool.contrib.asgi import Liveness, Readiness, pool_lifespan

ROUNDS = int(os.environ.get("ROUNDS", "100000"))


@task(timeout=60)
def hashed(text: bytes, rounds: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", text, b"salt", rounds).hex()


def make_pool() -> ProcessPool:
    return ProcessPool(2, queue_size=100, on_full="reject")


app = FastAPI(lifespan=pool_lifespan(make_pool, drain_timeout=10))
app.mount("/ready", Readiness(lambda: app.state.pool))  # 200 while it takes jobs, 503 while it drains
app.mount("/alive", Liveness(lambda: app.state.pool))  # 503 if only a restart of the program helps


@app.post("/hash")
async def answer(request: Request) -> PlainTextResponse:
    pool: ProcessPool = request.app.state.pool
    return PlainTextResponse(await pool.run(hashed, await request.body(), ROUNDS))


@app.exception_handler(QueueFull)
@app.exception_handler(PoolClosed)
@app.exception_handler(JobCancelled)
async def refuse(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse(f"{error}\n", 503)


@app.exception_handler(JobTimeout)
async def give_up(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse(f"{error}\n", 504)
