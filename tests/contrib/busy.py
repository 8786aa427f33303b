"""A service whose one job does not end, for `test_servers`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from steadypool import JobCancelled, ProcessPool, ThreadPool, current_job
from steadypool.contrib.asgi import pool_lifespan

BEGAN = Path(os.environ["BUSY_FOLDER"])
"""Each job leaves a file here when it begins."""


def until_told() -> None:
    (BEGAN / "threads").touch()
    current_job().sleep(60)
    current_job().raise_if_cancelled()


def block() -> None:
    (BEGAN / "processes").touch()
    threading.Event().wait()


pools: Any = {"threads": lambda: ThreadPool(1), "processes": lambda: ProcessPool(1, cancel_grace=0.1)}
app = FastAPI(lifespan=pool_lifespan(pools, drain_timeout=1, on_drained=lambda report: print(report, flush=True)))


@app.get("/threads")
async def threads(request: Request) -> None:
    await request.state.threads.run(until_told)


@app.get("/processes")
async def processes(request: Request) -> None:
    await request.state.processes.run(block)


@app.exception_handler(JobCancelled)
async def refuse(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse(str(error), 503)
