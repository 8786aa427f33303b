"""A web service that takes orders, and enqueues a job in the transaction that writes each order.

    STEADYPOOL_URL=postgresql://shop@localhost/shop uvicorn app:app
    STEADYPOOL_URL=postgresql://shop@localhost/shop steadypool work app:queue --workers 4 --kind thread

Either both the order and its job are there, or neither: no order without its confirmation, and no confirmation of an
order that was rolled back. The job is run at least once, so it is written to be repeated without harm.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, HTTPException

from steadypool import Queue, Retry, current_job

queue = Queue()
TABLES = """
CREATE TABLE IF NOT EXISTS orders (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL);
CREATE TABLE IF NOT EXISTS confirmations (order_number bigint PRIMARY KEY, sent_by text NOT NULL);
"""


def database() -> str:
    """The shop's database, in which the queue is kept, too."""
    return os.environ["STEADYPOOL_URL"]


@queue.task(timeout=30, retry=Retry(5))
def confirm(order: int) -> None:
    """Confirm an order: once, however often this runs."""
    with psycopg.connect(database()) as connection:
        connection.execute(
            "INSERT INTO confirmations VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [order, current_job().meta["fencing_token"]],
        )


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    """Tables first; a real shop has migrations of its own, and runs `steadypool migrate` beside them."""
    async with await psycopg.AsyncConnection.connect(database()) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(1)")
        await connection.execute(TABLES)
    queue.engine.migrate()
    yield
    queue.close()


app = FastAPI(lifespan=life)


@app.post("/orders", status_code=201)
async def take(item: str) -> dict[str, Any]:
    """Write the order, and enqueue its confirmation, in one transaction."""
    async with await psycopg.AsyncConnection.connect(database()) as connection:
        cursor = await connection.execute("INSERT INTO orders (item) VALUES (%s) RETURNING number", [item])
        row = await cursor.fetchone()
        assert row is not None
        job = await confirm.enqueue_async(row[0], connection=connection)
        if item == "nothing":
            raise HTTPException(409, "there is nothing to order")  # and so neither order nor job
    return {"order": row[0], "job": job.job_id}


@app.get("/health/ready")
def ready() -> dict[str, int]:
    """For the readiness probe: it fails while the database cannot be reached."""
    return {"waiting": sum(row.available for row in queue.stats().queues)}
