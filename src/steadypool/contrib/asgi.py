"""A pool, or a durable queue, that lives as long as an ASGI application: Starlette, FastAPI, Litestar, and others.

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
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from steadypool.model.checks import check_seconds
from steadypool.model.clock import monotonic
from steadypool.model.error_text import in_a_line
from steadypool.model.health import Health
from steadypool.model.reports import DrainReport
from steadypool.model.states import PoolState
from steadypool.pools.aio import AsyncPool
from steadypool.pools.executor.contract import PoolContract
from steadypool.primitives.signal_ladder import call_previous

__all__ = ["Liveness", "Readiness", "pool_lifespan", "queue_lifespan"]

if TYPE_CHECKING:
    from steadypool.durable.client.queue import Queue
    from steadypool.durable.worker.report import WorkReport
    from steadypool.durable.worker.settings import WorkerSettings
    from steadypool.durable.worker.worker import Worker

T = TypeVar("T")
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
    left = ending.left()
    if isinstance(pool, AsyncPool):
        say(await pool.drain(left))
    else:
        say(await _in_thread(lambda: pool.drain(left), f"{pool.name}-drain"))


async def _in_thread(call: Callable[[], T], name: str) -> T:
    """Do it without blocking the loop, by a thread of its own: the loop's executor may be the pool itself."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def give(got: T | None, error: Exception | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(cast("T", got))

    def run() -> None:
        got, failed = None, None
        try:
            got = call()
        except Exception as error:
            failed = error
        except BaseException as error:  # no way to end this thread is to leave the loop waiting
            failed = RuntimeError(f"{name} was ended: {in_a_line(error)}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, got, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answer


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


def queue_lifespan(
    queue: Queue,
    *,
    worker: WorkerSettings | None = None,
    drain_timeout: float | None = 20.0,
    attribute: str = "queue",
    on_drained: Callable[[WorkReport], object] | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """A ``lifespan`` that opens a durable queue, and closes it; with *worker*, a worker works in this process.

    The start fails if the tables of the queue are missing or of another version, and says which command to run. A queue
    on SQLite makes its tables by itself.

    Args:
        queue: the queue; it is found at ``app.state.queue``, and ``request.state.queue``.
        worker: how a worker works here, for a small service: `WorkerSettings`. It is found at ``app.state.worker``,
            whose ``health`` is for `Readiness`. ``None``: there is none, jobs are for ``steadypool work``.
        drain_timeout: seconds that its running jobs get to end, from SIGTERM or SIGINT on, or from the shutdown if
            that comes first. It claims no more from then on; a job that has not ended is handed back.
        attribute: where the queue is found, instead of ``queue``.
        on_drained: what to do with the worker's report; by default it is printed on stderr if anything was left undone.

    Raises:
        TypeError: *queue* is no queue, or *worker* no settings.
    """
    from steadypool.durable.client.queue import Queue
    from steadypool.durable.worker.settings import WorkerSettings

    check_seconds("queue_lifespan(drain_timeout)", drain_timeout, zero=True)
    if not isinstance(queue, Queue):
        raise TypeError(f"queue_lifespan needs a queue, Queue(...), not {queue!r}")
    if not isinstance(worker, WorkerSettings | None):
        raise TypeError(f'worker must be settings, such as WorkerSettings(kind="thread", workers=4), not {worker!r}')

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        _answer_without_slash(app)
        async with AsyncExitStack() as stack:
            await _in_thread(lambda: _check_tables(queue), "steadypool-schema")
            stack.push_async_callback(_in_thread, queue.close, "steadypool-close")
            state: dict[str, Any] = {attribute: queue}
            if worker is not None:
                state["worker"] = await stack.enter_async_context(
                    _working(queue, worker, drain_timeout, on_drained or _say_if_not_ok)
                )
            for name, value in state.items():
                if hasattr(app, "state"):
                    setattr(app.state, name, value)
            yield state

    return lifespan


def _check_tables(queue: Queue) -> None:
    """Do nothing, unless the queue cannot be used as its tables are.

    Raises:
        SchemaMismatch: it cannot; naming the command that helps.
        EngineError: the store cannot be reached.
    """
    if queue.url.startswith("sqlite") and not queue.engine.schema().found:
        queue.engine.migrate()
    queue.engine.workers()


@asynccontextmanager
async def _working(
    queue: Queue, settings: WorkerSettings, drain_timeout: float | None, say: Callable[[WorkReport], object]
) -> AsyncIterator[Worker]:
    """A block in which a worker works on threads of its own. It has registered when the block begins."""
    from steadypool.durable.worker.events import WorkerRegistered
    from steadypool.durable.worker.worker import Worker

    loop, is_ready = asyncio.get_running_loop(), asyncio.Event()
    worker = Worker(queue, settings)

    def heard(event: object) -> None:
        if isinstance(event, WorkerRegistered) and not loop.is_closed():
            loop.call_soon_threadsafe(is_ready.set)

    worker.subscribe(heard)
    ended = asyncio.create_task(_in_thread(worker.run, "steadypool-worker"))
    ready = asyncio.create_task(is_ready.wait())
    try:
        await asyncio.wait((ended, ready), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()  # it could not begin, and raises why
    finally:
        ready.cancel()
    ended.add_done_callback(_say_if_failed)
    ending = Ending([worker], drain_timeout, at_once=True)
    with draining_from_signal(ending):
        try:
            yield worker
        finally:
            worker.request_drain(ending.left())
            await asyncio.wait((ended,))
    if ended.exception() is None:
        say(ended.result())


def _say_if_failed(ended: asyncio.Task[WorkReport]) -> None:
    error = None if ended.cancelled() else ended.exception()
    if error is not None and sys.stderr is not None:
        print(f"steadypool: the worker in this process has ended: {in_a_line(error)}", file=sys.stderr, flush=True)


class Drained(Protocol):
    """A pool, or a worker."""

    def request_drain(self, timeout: float | None, /) -> None:
        """Begin to drain. From any thread, and from a signal handler."""


class Ending:
    """When pools end: their jobs have *timeout* seconds from the first signal on, or from the shutdown.

    Args:
        pools: they end together.
        timeout: ``None`` for as long as it takes.
        at_once: refuse new jobs from the signal on. Otherwise requests under way may still submit in that time; the
            server has taken no new ones since.
    """

    def __init__(self, pools: Collection[Drained], timeout: float | None, *, at_once: bool) -> None:
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


def _say_if_not_ok(report: DrainReport | WorkReport) -> None:
    if not report.ok and sys.stderr is not None:
        print(f"steadypool: at shutdown, {report}", file=sys.stderr, flush=True)
