"""The dashboard as a program of its own: waitress, and HTTP Basic with one user.

Any program that reaches the port may ask, so each page wants the password. On this machine's own addresses a ``Host``
header that names another is refused: a web page must not read the answers by giving 127.0.0.1 a name of its own (DNS
rebinding).

waitress reads a request to its end before a thread has anything to do with it, and closes connections that say nothing.
So clients that are slow hold up no others.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import socket
from collections.abc import Callable
from importlib import import_module
from typing import Any

from steadypool.contrib.web.access import Access
from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.request import LARGEST_FORM, LONGEST_QUERY, Request

USER = "steadypool"
THREADS = 6
CONNECTIONS = 400
IDLE_SECONDS = 30
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_CHALLENGE = (("WWW-Authenticate", 'Basic realm="Steadypool", charset="UTF-8"'),)


def new_password() -> str:
    """One that is not to be guessed."""
    return secrets.token_urlsafe(18)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    return host.strip("[]") in LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


class Password:
    """The ``access`` of a dashboard that stands alone.

    Args:
        password: that of the user ``steadypool``.
        host: where the server listens.
        read_only: whether nothing may be changed.
    """

    def __init__(self, password: str, host: str, read_only: bool) -> None:
        if not password:
            raise ValueError("the password is empty")
        self._known = hmac.digest(_SALT, password.encode(), "sha256")
        self._is_local = is_loopback(host)
        self._access = Access.read(USER) if read_only else Access.act(USER)

    def __call__(self, request: Request) -> Access:
        """What the request may do.

        Raises:
            Refusal: it has another name for this machine, or no password.
        """
        if self._is_local and not is_loopback(_name_of(request.headers.get("host", ""))):
            raise Refusal(
                "421 Misdirected Request", "This is served to this machine alone: ask for 127.0.0.1 or localhost."
            )
        if not self._is_known(request.headers.get("authorization", "")):
            raise Refusal(
                "401 Unauthorized", "The name is steadypool; the password was printed at the start.", _CHALLENGE
            )
        return self._access

    def _is_known(self, header: str) -> bool:
        kind, _, encoded = header.partition(" ")
        if kind.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        given = hmac.digest(_SALT, password, "sha256")  # of one length, whatever was given
        return hmac.compare_digest(given, self._known) and hmac.compare_digest(user, USER.encode())


_SALT = secrets.token_bytes(32)


def _name_of(host: str) -> str:
    """The host in a ``Host`` header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


class Server:
    """Listens at once; serves while `run` does.

    Raises:
        ImportError: waitress is not installed.
        OSError: nothing can listen there.
    """

    def __init__(self, app: Callable[..., Any], host: str, port: int) -> None:
        try:
            waitress = import_module("waitress")
        except ImportError as error:
            raise ImportError("steadypool web needs waitress: pip install 'steadypool[web]'") from error
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        self._server = waitress.create_server(
            app,
            sockets=[listener],
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            max_request_body_size=2 * LARGEST_FORM,
            max_request_header_size=2 * LONGEST_QUERY,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=True,
            ident="steadypool",
        )

    def run(self) -> None:
        """Serve, until Ctrl-C or `close`."""
        self._server.run()

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._server.task_dispatcher.shutdown(timeout=1)
        self._server.trigger.pull_trigger(self._close_all)  # its loop ends when nothing is left open

    def _close_all(self) -> None:
        import_module("waitress.wasyncore").close_all(self._server._map)

    def close(self) -> None:
        """Stop listening."""
        self._server.task_dispatcher.shutdown(timeout=1)
        self._server.close()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(CONNECTIONS)
    except BaseException:
        listener.close()
        raise
    return listener
