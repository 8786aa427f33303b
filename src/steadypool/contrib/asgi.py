"""A pool that lives as long as an ASGI application: Starlette, FastAPI, and what else has a lifespan.

    app = FastAPI(lifespan=pool_lifespan(lambda: ProcessPool(4), drain_timeout=20))
    app.mount("/ready", Readiness(lambda: app.state.pool))

    @app.post("/jobs")
    async def work(request: Request):
        return await request.app.state.pool.run(job, ...)

Pools are opened at startup and drained at shutdown. The server runs shutdown only when its requests are done, and some
wait for those without limit. So a signal that ends the server starts a clock: `Ending` says what happens when.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Protocol

from steadypool.model.checks import check_seconds
from steadypool.model.clock import monotonic
from steadypool.model.health import Health
from steadypool.model.reports import DrainReport
from steadypool.model.states import PoolState
from steadypool.pools.aio import AsyncPool
from steadypool.pools.executor.contract import PoolContract
from steadypool.primitives.signal_ladder import call_previous

__all__ = ["Liveness", "Readiness", "pool_lifespan"]

Say = Callable[[DrainReport], object]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AnyPool = PoolContract | AsyncPool
"""A `ThreadPool`, `ProcessPool` or `AsyncPool`."""
Source = AnyPool | Callable[[], AnyPool]


class Pool(Protocol):
    """A pool of any kind."""

    def health(self) -> Health:
        """Whether the pool is alive and ready, and if not, why."""


def pool_lifespan(
    pool: Source | Mapping[str, Source],
    *,
    drain_timeout: float | None = 20.0,
    attribute: str = "pool",
    from_signal: bool = False,
    on_drained: Say | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """A ``lifespan`` for Starlette and FastAPI.

    Args:
        pool: a pool of any kind, or what makes one; the latter for an application that is started more than once, as
            tests do. Or several, by their attributes: ``{"thumbnails": ..., "mails": ...}``.
        drain_timeout: seconds that jobs get to end, from SIGTERM or SIGINT on, or from the shutdown if that comes
            first, before they are stopped.
        attribute: where the pool is found: ``app.state.pool``, and ``request.state.pool``.
        from_signal: refuse new jobs from the signal on, and not only from the shutdown, which the server runs when the
            requests under way have been answered. Those then cannot submit either.
        on_drained: what to do with each report; by default it is printed on stderr if anything was left undone.

    Raises:
        TypeError: *pool* is no pool, and nothing that makes one.
    """
    check_seconds("pool_lifespan(drain_timeout)", drain_timeout, zero=True)
    sources = pool if isinstance(pool, Mapping) else {attribute: pool}
    for source in sources.values():
        if not isinstance(source, PoolContract | AsyncPool) and not callable(source):
            raise TypeError(
                "pool_lifespan needs a pool, a function that makes one, or several by their attributes, such as "
                f'{{"pool": ThreadPool(8), "slow": ProcessPool(2)}}; got {source!r}'
            )

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        _answer_without_slash(app)
        opened: dict[str, AnyPool] = {}
        ending = Ending(opened.values(), drain_timeout, at_once=from_signal)
        async with AsyncExitStack() as stack:
            for name, source in sources.items():
                opened[name] = one = await _open(source)
                stack.push_async_callback(_end, one, ending, on_drained or _say_if_not_ok)
                if hasattr(app, "state"):
                    setattr(app.state, name, one)
            stack.enter_context(draining_from_signal(ending))
            yield dict(opened)
            for one in opened.values():
                one.request_drain(ending.left())  # all at the same time

    return lifespan


async def _open(source: Source) -> AnyPool:
    pool = source if isinstance(source, PoolContract | AsyncPool) else source()
    if not isinstance(pool, PoolContract | AsyncPool):
        raise TypeError(f"pool_lifespan was given a function that must return a pool; it returned {pool!r}")
    if pool.state is PoolState.CLOSED:
        raise RuntimeError(
            f"pool {pool.name!r} is closed: this application has been started and ended before. To start it again, as "
            f"tests do, have each start make its pool: pool_lifespan(lambda: {type(pool).__name__}(...))"
        )
    if isinstance(pool, AsyncPool):
        await pool.__aenter__()
    return pool


async def _end(pool: AnyPool, ending: Ending, say: Say) -> None:
    say(await pool.drain(ending.left()) if isinstance(pool, AsyncPool) else await _in_thread(pool, ending.left()))


async def _in_thread(pool: PoolContract, timeout: float | None) -> DrainReport:
    """Drain it without blocking the loop, by a thread of its own: the loop's executor may be the pool itself."""
    loop = asyncio.get_running_loop()
    report: asyncio.Future[DrainReport] = loop.create_future()

    def give(got: DrainReport) -> None:
        if not report.cancelled():
            report.set_result(got)

    def drain() -> None:
        got = pool.drain(timeout)
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, got)

    threading.Thread(target=drain, name=f"{pool.name}-drain", daemon=True).start()
    return await report


def _answer_without_slash(app: Any) -> None:
    """Have `Readiness` and `Liveness` that are mounted answer at their path itself.

    Starlette's mount at ``/ready`` matches ``/ready/`` alone, and redirects; balancers take that for "healthy".
    """
    routes = getattr(getattr(app, "router", None), "routes", None)
    routing = sys.modules.get("starlette.routing")
    if routes is None or routing is None:
        return
    known = {route.path for route in routes if isinstance(route, routing.Route)}
    for index, route in reversed(list(enumerate(routes))):
        mounted = isinstance(route, routing.Mount) and isinstance(route.app, Readiness)
        if mounted and route.path and route.path not in known:
            routes.insert(index, routing.Route(route.path, route.app, include_in_schema=False))


class Readiness:
    """An ASGI application for the load balancer: 200 while the pool is ready, 503 and the reasons while it is not.

    app.mount("/ready", Readiness(pool))                             # with `pool_lifespan`
    app.router.routes.append(Route("/ready", Readiness(pool)))       # without

    The pool may be of any kind. `Health` says what makes one ready. Where each start of the application makes a pool,
    give a function that returns the present one: ``Readiness(lambda: app.state.pool)``.
    """

    good = "ready"

    def __init__(self, pool: Pool | Callable[[], Pool]) -> None:
        if not hasattr(pool, "health") and not callable(pool):
            raise TypeError(f"{type(self).__name__} needs a pool, or a function that returns one; got {pool!r}")
        self._pool = pool

    def is_good(self, health: Health) -> bool:
        """Whether the answer is 200."""
        return health.ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{type(self).__name__} answers HTTP requests, and nothing of type {scope['type']!r}")
        pool = self._pool
        health = (pool() if callable(pool) else pool).health()
        good = self.is_good(health)
        text = f"{self.good if good else ', '.join(health.reasons)}\n".encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200 if good else 503, "headers": headers})
        await send({"type": "http.response.body", "body": text})


class Liveness(Readiness):
    """The same for the supervisor that restarts the program: 503 only while the pool is not alive.

    app.mount("/alive", Liveness(pool))

    An application on the pool's own loop cannot say that the loop is blocked: it does not answer then. From a thread of
    its own, `steadypool.serve_status` does.
    """

    good = "alive"

    def is_good(self, health: Health) -> bool:
        """Whether the answer is 200."""
        return health.alive


class Ending:
    """When pools end: their jobs have *timeout* seconds from the first signal on, or from the shutdown.

    Args:
        pools: they end together.
        timeout: ``None`` for as long as it takes.
        at_once: refuse new jobs from the signal on. Otherwise requests under way may still submit in that time; the
            server has taken no new ones since.
    """

    def __init__(self, pools: Collection[AnyPool], timeout: float | None, *, at_once: bool) -> None:
        self._pools = pools
        self._timeout = timeout
        self._at_once = at_once
        self._ends: float | None = None
        self._loop = asyncio.get_running_loop()

    def signalled(self) -> None:
        """A signal has come. It may come again."""
        is_first, left = self._ends is None, self.left()
        if self._at_once:
            self._drain(left)
        elif left is not None and is_first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.call_later, left, self._drain, 0.0)

    def left(self) -> float | None:
        """How many seconds jobs still have. The first call starts the clock."""
        if self._timeout is None:
            return None
        if self._ends is None:
            self._ends = monotonic() + self._timeout
        return max(0.0, self._ends - monotonic())

    def _drain(self, timeout: float | None) -> None:
        for pool in self._pools:
            pool.request_drain(timeout)


@contextmanager
def draining_from_signal(ending: Ending) -> Iterator[None]:
    """A block in which SIGTERM and SIGINT start the clock of *ending*, before the server tells of its end.

    The handlers that the server has set are called as before. Off the main thread, which gets no signals, it does
    nothing.
    """
    old: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        ending.signalled()
        call_previous(old[number], number, frame)

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
