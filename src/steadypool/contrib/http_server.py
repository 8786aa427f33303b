"""An HTTP server for one address: waitress, a server without dependencies that needs no event loop and no compiler.

One thread waits for the sockets, others answer. It reads a request to its end before a thread has anything to do with
it, and closes connections that say nothing. So clients that are slow hold up no others.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

BACKLOG = 400
IDLE_SECONDS = 30
"""After which a connection that says nothing is closed, as soon as there is another."""
WAKE_SECONDS = 3600
"""How often waitress looks round though nothing has happened."""
END_SECONDS = 1.0
"""How long its own thread may take to come to the end."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    return host.strip("[]") in LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


def is_rebound(host: str, header: str) -> bool:
    """Whether a request to *host*, an address of this machine alone, names another in its ``Host`` *header*.

    A web page in a browser on this machine must not read the answers by giving 127.0.0.1 a name of its own (DNS
    rebinding).
    """
    named = header.partition("]")[0] + "]" if header.startswith("[") else header.partition(":")[0].lower()
    return is_loopback(host) and not is_loopback(named)


class HttpServer:
    """Listens at once; answers while `run` does.

    Args:
        app: the WSGI application.
        needed_by: what needs waitress, and the extra that brings it.
        settings: as waitress has them.

    Raises:
        ImportError: waitress is not installed.
        OSError: nothing can listen there; the message names the address.
    """

    def __init__(
        self, app: Callable[..., Any], host: str, port: int, needed_by: tuple[str, str], **settings: Any
    ) -> None:
        try:
            waitress = import_module("waitress")
        except ImportError as error:
            raise ImportError("{} needs waitress: pip install 'steadypool[{}]'".format(*needed_by)) from error
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.server = waitress.create_server(
            app,
            sockets=[listener],
            channel_timeout=IDLE_SECONDS,
            asyncore_loop_timeout=WAKE_SECONDS,
            asyncore_use_poll=True,
            ident="steadypool",
            **settings,
        )

    def run(self) -> None:
        """Answer, until `stop` or an exception such as Ctrl-C; then `close` it."""
        self.server.run()

    def stop(self, seconds: float = END_SECONDS) -> None:
        """End `run`, from another thread; answers that are being written have so many seconds."""
        self.server.task_dispatcher.shutdown(timeout=seconds)
        # On its own thread, or it could wait on descriptors that belong to other code by then. That thread may be awake
        # already and come first: it must not close the trigger while this one is about to write to it.
        pulled = threading.Event()

        def close_all() -> None:
            pulled.wait(END_SECONDS)
            self.close_sockets()  # its loop ends when nothing is left open

        try:
            self.server.trigger.pull_trigger(close_all)
        finally:
            pulled.set()

    def close(self) -> None:
        """Stop listening, once `run` has ended."""
        self.server.task_dispatcher.shutdown(timeout=END_SECONDS)
        self.server.close()

    def close_sockets(self, ignore_all: bool = False) -> None:
        """Let go of all that is open; in a forked child, of the parent's, too."""
        import_module("waitress.wasyncore").close_all(self.server._map, ignore_all)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}, port {port}: {error.strerror}") from error
    return listener
