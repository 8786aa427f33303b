"""The dashboard as a program of its own: an HTTP server, and HTTP Basic with one user.

Any program that reaches the port may ask, so each page wants the password. On this machine's own addresses a ``Host``
header that names another is refused (`contrib.http_server.is_rebound`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from typing import Any

from steadypool.contrib.http_server import HttpServer, is_rebound
from steadypool.contrib.web.access import Access
from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.request import LARGEST_FORM, LONGEST_QUERY, Request

USER = "steadypool"
THREADS = 6
CONNECTIONS = 400
_CHALLENGE = (("WWW-Authenticate", 'Basic realm="Steadypool", charset="UTF-8"'),)


def new_password() -> str:
    """One that is not to be guessed."""
    return secrets.token_urlsafe(18)


def server_of(app: Callable[..., Any], host: str, port: int) -> HttpServer:
    """A server of the dashboard; see `HttpServer` for what it raises."""
    return HttpServer(
        app,
        host,
        port,
        ("steadypool web", "web"),
        threads=THREADS,
        connection_limit=CONNECTIONS,
        max_request_body_size=2 * LARGEST_FORM,
        max_request_header_size=2 * LONGEST_QUERY,
        clear_untrusted_proxy_headers=True,
    )


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
        self._host = host
        self._access = Access.read(USER) if read_only else Access.act(USER)

    def __call__(self, request: Request) -> Access:
        """What the request may do.

        Raises:
            Refusal: it has another name for this machine, or no password.
        """
        if is_rebound(self._host, request.headers.get("host", "")):
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
