"""`serve_status`: what orchestrators, Prometheus and people ask of a program's pools and workers, over HTTP.

    with serve_status(pool, port=8080):
        ...

Theory of operation
-------------------
The HTTP is waitress's (`contrib.http_server`): one thread waits for the sockets, `THREADS` others answer. They are
daemons: they never hold the end of the program, and they answer whatever the pool and the main thread are doing. All of
them sleep until a request comes.

An answer reads the books, which takes no lock for longer than that, and asks the loop of an `AsyncPool` for a sign of
life, for a second at most (`rules.health.LOOP_PATIENCE`). Nothing else in it waits.

``/metrics`` costs jobs nothing until it is first asked for: only then is a `PrometheusSink` subscribed to the pools.

Any program that reaches the port may ask, so by default it is 127.0.0.1 alone. There, a ``Host`` header that names
another machine is refused (`contrib.http_server.is_rebound`).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from steadypool.contrib.http_server import HttpServer, is_rebound
from steadypool.model.checks import check_count
from steadypool.model.health import Health
from steadypool.pools.monitor.json_line import as_json
from steadypool.pools.monitor.snapshots import take_snapshot
from steadypool.rules.health import LOOP_PATIENCE

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["StatusServer", "serve_status"]

THREADS = 4
CONNECTIONS = 100
"""Open at a time; more wait."""
TEXT = "text/plain; charset=utf-8"
Environ = dict[str, Any]


class Pool(Protocol):
    """A pool of any kind, or a worker of a durable queue."""

    @property
    def _core(self) -> Any:
        """``None``: it has no pool yet."""

    def health(self) -> Health:
        """Whether the pool is alive and ready, and if not, why."""

    def subscribe(self, sink: Any) -> Callable[[], None]:
        """Have *sink* called with every event."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: str
    body: bytes
    kind: str = TEXT


def serve_status(
    pool: Pool | Iterable[Pool],
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    registry: CollectorRegistry | None = None,
) -> StatusServer:
    """Answer ``/livez``, ``/readyz``, ``/metrics`` and ``/status.json`` for one pool or several, from threads.

    Args:
        pool: the pool, or all pools of the program, of any kind; or a durable queue's `Worker`, or several.
        port: where to listen; 0 for a free one, see `StatusServer.port`.
        host: the address to listen on. ``"0.0.0.0"`` lets other machines ask, without a password.
        registry: what ``/metrics`` shows; by default one of its own, with a `PrometheusSink` for these pools.

    Returns:
        The running server. It ends with the program, or with ``close()`` or its ``with`` block.

    Raises:
        ImportError: waitress is not installed.
        OSError: nothing can listen there; the message names the address.
        TypeError, ValueError: for an invalid argument.
    """
    pools = _check_pools(pool)
    _check_address(host, port)
    return StatusServer(StatusPages(pools, registry, host), host, port)


def _check_pools(pool: Any) -> tuple[Pool, ...]:
    pools: tuple[Any, ...] = ()
    if hasattr(pool, "health"):
        pools = (pool,)
    elif isinstance(pool, Iterable):
        pools = tuple(pool)
    if not pools or not all(hasattr(one, "health") and hasattr(one, "_core") for one in pools):
        raise TypeError(
            "serve_status needs a pool, a durable worker, or some of them, as in serve_status(pool, port=8080); got "
            f"{pool!r}"
        )
    return pools


def _check_address(host: object, port: object) -> None:
    if not 0 <= check_count("serve_status(port)", port, least=-sys.maxsize) <= 65535:
        raise ValueError(f"serve_status(port) must be from 0, for a free one, to 65535; got {port}")
    if not isinstance(host, str) or not host:
        raise TypeError(f'serve_status(host) must be an address such as "127.0.0.1", not {host!r}')


class StatusServer:
    """The server that `serve_status` has started. Any thread may call any method."""

    def __init__(self, pages: StatusPages, host: str, port: int) -> None:
        settings = {"threads": THREADS, "connection_limit": CONNECTIONS}
        self._http = HttpServer(pages, host, port, ("serve_status", "status"), **settings)
        self.host, self.port, self.url = host, self._http.port, self._http.url
        self._pages = pages
        self._closing = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self._http.server.task_dispatcher.queue_logger = _quiet_logger()
        self._thread = threading.Thread(target=self._http.run, name=f"steadypool-status-{self.port}", daemon=True)
        self._thread.start()
        _servers.add(self)

    def close(self) -> None:
        """Stop listening; answers that are being written are finished first. Called again, it does nothing."""
        with self._closing:
            if self._closed or self._pid != os.getpid():
                return
            self._closed = True
        self._http.stop(LOOP_PATIENCE + 1)
        self._thread.join(LOOP_PATIENCE + 1)
        self._pages.close()

    def after_fork(self) -> None:
        """A forked child does not answer: let go of the port, or the child would keep it when its parent ends."""
        self._closed = True
        self._http.close_sockets(ignore_all=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<StatusServer {self.url}{' closed' if self._closed else ''}>"


def _quiet_logger() -> logging.Logger:
    """Instead of waitress's own, which warns of every request that finds no thread waiting, such as the very first."""
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.ERROR)
    return logger


class StatusPages:
    """The WSGI application: a path in, an `Answer` out."""

    def __init__(self, pools: tuple[Pool, ...], registry: CollectorRegistry | None, host: str) -> None:
        self._pools = pools
        self._registry = registry
        self._host = host
        self._lock = threading.Lock()
        self._unsubscribe: list[Callable[[], None]] = []
        self._pages: dict[str, Callable[[Environ], Answer]] = {
            "/": self._index,
            "/livez": lambda _: self._verdict("alive", lambda health: health.alive),
            "/readyz": lambda _: self._verdict("ready", lambda health: health.ready),
            "/metrics": self._metrics,
            "/status.json": self._status,
        }

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> list[bytes]:
        answer = self._answer(environ)
        headers = [
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response(answer.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def close(self) -> None:
        """Listen to the pools no more."""
        with self._lock:
            for unsubscribe in self._unsubscribe:
                unsubscribe()
            self._unsubscribe.clear()

    def _answer(self, environ: Environ) -> Answer:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return Answer("405 Method Not Allowed", b"there is only GET here\n")
        if is_rebound(self._host, environ.get("HTTP_HOST", "localhost")):
            text = "this is served to this machine only: ask for 127.0.0.1 or localhost\n"
            return Answer("403 Forbidden", text.encode())
        page = self._pages.get(environ["PATH_INFO"])
        if page is None:
            return Answer("404 Not Found", f"there are {', '.join(self._pages)}\n".encode())
        return page(environ)

    def _index(self, environ: Environ) -> Answer:
        lines = [str(pool.health()) for pool in self._pools]
        return Answer("200 OK", _encoded([*lines, "", *list(self._pages)[1:], ""]))

    def _verdict(self, word: str, is_good: Callable[[Health], bool]) -> Answer:
        """200 if it is so for every pool, else 503; a line for each pool either way."""
        healths = [pool.health() for pool in self._pools]
        good = all(is_good(health) for health in healths)
        lines = [f"{'ok' if good else f'not {word}'}", *(str(health) for health in healths), ""]
        return Answer("200 OK" if good else "503 Service Unavailable", _encoded(lines))

    def _status(self, environ: Environ) -> Answer:
        cores = [core for pool in self._pools if (core := pool._core) is not None]
        shown = {"pools": [take_snapshot(core, number, patience=LOOP_PATIENCE) for number, core in enumerate(cores)]}
        depths = {depth.name: depth for pool in self._pools if hasattr(pool, "depths") for depth in pool.depths()}
        return Answer("200 OK", as_json({**shown, "queues": [*depths.values()]}), "application/json")

    # -- metrics

    def _metrics(self, environ: Environ) -> Answer:
        try:
            client = import_module("prometheus_client.exposition")
        except ImportError:
            text = "no metrics: prometheus-client is not installed; pip install 'steadypool[prometheus]'\n"
            return Answer("501 Not Implemented", text.encode())
        encode, kind = client.choose_encoder(environ.get("HTTP_ACCEPT", ""))
        return Answer("200 OK", encode(self._registry_to_show()), kind)

    def _registry_to_show(self) -> CollectorRegistry:
        """The registry; if it is to be one of our own, made now, and given every event from now on."""
        with self._lock:
            if self._registry is None:
                self._registry = import_module("prometheus_client").CollectorRegistry()
                sink = import_module("steadypool.sinks.prometheus").PrometheusSink(self._registry)
                self._unsubscribe = [pool.subscribe(sink) for pool in self._pools]
            return self._registry


def _encoded(lines: list[str]) -> bytes:
    return "\n".join(lines).encode(errors="backslashreplace")


_servers: weakref.WeakSet[StatusServer] = weakref.WeakSet()


def _after_fork() -> None:
    for server in list(_servers):
        server.after_fork()
    _servers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
