"""A small web service on Starlette that hands its work to an `AsyncPool`, and shuts down as a service should.

    python examples/web.py --port 8000
    curl --data 'some text' http://127.0.0.1:8000/words         # waits for the answer
    curl --data 'some text' http://127.0.0.1:8000/words/later   # gets the job's id at once

At most ``--workers`` jobs run at a time, and as many wait; then the answer is 503 at once. On SIGTERM it refuses what
is new, answers what it has accepted, prints what became of every job, and is gone after 10 seconds.
"""

import argparse
import asyncio
import json

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from steadypool import AsyncPool, DrainReport, JobCancelled, JobTimeout, PoolClosed, QueueFull, task
from steadypool.contrib.asgi import Readiness, pool_lifespan

DRAIN_SECONDS = 10


@task(timeout=5)
async def count_words(text: str, seconds: float) -> int:
    await asyncio.sleep(seconds)  # stands for a call to a database or another service
    return len(text.split())


async def words(request: Request) -> Response:
    text = (await request.body()).decode()
    try:
        return JSONResponse({"words": await request.state.pool.run(count_words, text, request.app.state.seconds)})
    except (QueueFull, PoolClosed, JobCancelled) as refused:
        return PlainTextResponse(f"{refused}\n", 503)
    except JobTimeout:
        return PlainTextResponse("that took too long\n", 504)


async def words_later(request: Request) -> Response:
    text = (await request.body()).decode()
    try:
        job = await request.state.pool.submit(count_words, text, request.app.state.seconds)
    except (QueueFull, PoolClosed) as refused:
        return PlainTextResponse(f"{refused}\n", 503)
    return JSONResponse({"job": job.job_id}, 202)


def say(report: DrainReport) -> None:
    print(json.dumps(report.to_dict()), flush=True)


def application(workers: int, seconds: float) -> Starlette:
    pool = AsyncPool(workers, queue_size=workers, on_full="reject", name="web")
    routes = [
        Route("/words", words, methods=["POST"]),
        Route("/words/later", words_later, methods=["POST"]),
        Mount("/ready", Readiness(pool)),
    ]
    app = Starlette(
        routes=routes,
        lifespan=pool_lifespan(pool, drain_timeout=DRAIN_SECONDS, from_signal=True, on_drained=say),
    )
    app.state.seconds = seconds
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="0 for any free one")
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a job takes")
    options = parser.parse_args()
    app = application(options.workers, options.seconds)
    uvicorn.run(app, port=options.port, timeout_graceful_shutdown=DRAIN_SECONDS, access_log=False)


if __name__ == "__main__":
    main()
