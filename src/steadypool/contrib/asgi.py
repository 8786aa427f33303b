"""A pool that lives as long as an ASGI application: Starlette, FastAPI, and what else has a lifespan.

    app = FastAPI(lifespan=pool_lifespan(AsyncPool(100), drain_timeout=20))

    @app.post("/jobs")
    async def work(request: Request):
        return await request.app.state.pool.run(job, ...)

The pool is opened at startup and drained at shutdown. The server runs shutdown only when its requests are done: it
waits for those under way, and for its own limit (``--timeout-graceful-shutdown`` of uvicorn) at most.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, Protocol

from steadypool.pools.aio import AsyncPool
from steadypool.words.health import Health
from steadypool.words.reports import DrainReport

Say = Callable[[DrainReport], object]
Scope = dict[str, Any]


class Pool(Protocol):
    """A pool of any kind."""

    def health(self) -> Health:
        """Whether the pool is alive and ready, and if not, why."""


def pool_lifespan(
    pool: AsyncPool | Callable[[], AsyncPool],
    *,
    drain_timeout: float | None = 20.0,
    attribute: str = "pool",
    from_signal: bool = False,
    on_drained: Say | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, AsyncPool]]]:
    """A ``lifespan`` for Starlette and FastAPI.

    Args:
        pool: the pool, or what makes one; the latter for an application that is started more than once, as tests do.
        drain_timeout: seconds that jobs get to end at shutdown, before they are cancelled.
        attribute: where the pool is found: ``app.state.pool``, and ``request.state.pool``.
        from_signal: begin the drain at SIGTERM or SIGINT, and not when the server says so, which it does when the
            requests under way have been answered. New jobs are then refused at once, those of such requests too.
        on_drained: what to do with the report; by default it is printed on stderr if anything was left undone.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, AsyncPool]]:
        opened = pool() if callable(pool) else pool
        if hasattr(app, "state"):
            setattr(app.state, attribute, opened)
        await opened.__aenter__()
        with draining_from_signal(opened, drain_timeout) if from_signal else nullcontext():
            try:
                yield {attribute: opened}
            finally:
                report = await opened.drain(drain_timeout)
                (on_drained or _say_if_not_ok)(report)

    return lifespan


class Readiness:
    """An ASGI application for the load balancer: 200 while the pool is ready, 503 and the reasons while it is not.

    app.mount("/ready", Readiness(pool))

    The pool may be of any kind. `Health` says what makes one ready.
    """

    good = "ready"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def is_good(self, health: Health) -> bool:
        """Whether the answer is 200."""
        return health.ready

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        health = self._pool.health()
        good = self.is_good(health)
        text = f"{self.good if good else ', '.join(health.reasons)}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200 if good else 503, "headers": headers})
        await send({"type": "http.response.body", "body": text})


class Liveness(Readiness):
    """The same for whoever starts the program anew when it is beyond help: 503 only while the pool is not alive.

    app.mount("/alive", Liveness(pool))

    An application on the pool's own loop cannot say that the loop is blocked: it does not answer then. From a thread of
    its own, `steadypool.serve_status` does.
    """

    good = "alive"

    def is_good(self, health: Health) -> bool:
        """Whether the answer is 200."""
        return health.alive


def is_ready(pool: Pool) -> bool:
    """Whether the pool takes jobs and has somebody to run them."""
    return pool.health().ready


@contextmanager
def draining_from_signal(pool: AsyncPool, timeout: float | None) -> Iterator[None]:
    """A block in which SIGTERM and SIGINT begin the drain before the server has told the application of its end.

    The handlers that the server has set are called as before. Off the main thread, which gets no signals, it does
    nothing.
    """
    old: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        pool.request_drain(timeout)
        if callable(old[number]):
            old[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        old |= {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, before in old.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, before)


def _say_if_not_ok(report: DrainReport) -> None:
    if not report.ok and sys.stderr is not None:
        print(f"steadypool: at shutdown, {report}", file=sys.stderr, flush=True)
