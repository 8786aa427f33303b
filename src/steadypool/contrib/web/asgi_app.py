"""The pages for servers that speak ASGI: each request is answered on a thread, since it waits for the database."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Wsgi = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]
LARGEST_BODY = 256 * 1024
"""Bytes of a request that are read; a form of ours is shorter."""


class AsgiApp:
    """An ASGI application that asks a WSGI application."""

    def __init__(self, wsgi: Wsgi) -> None:
        self._wsgi = wsgi

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        status, headers, answer = await asyncio.to_thread(self._ask, environ_of(scope, body))
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    def _ask(self, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        started: list[Any] = []
        body = b"".join(self._wsgi(environ, lambda status, headers: started.extend((status, headers))))
        status, headers = started
        return int(status[:3]), headers, body


def environ_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """The request as WSGI has it."""
    root = str(scope.get("root_path", "")).rstrip("/")
    path = str(scope["path"])
    below = path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path
    server = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": below.encode().decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or ""),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        environ[name] = f"{environ[name]},{value}" if name in environ else value
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


async def _read(receive: Receive) -> bytes:
    """The body; of one that is too long so much that it is refused."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""  # the client has gone
        part = message.get("body", b"")
        length += len(part)
        if length <= LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts) if length <= LARGEST_BODY else b" " * LARGEST_BODY


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
