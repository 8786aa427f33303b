"""A browser of a few lines, for a WSGI application: it asks, and reads what it gets."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode
from wsgiref.validate import validator

Wsgi = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


@dataclass(frozen=True)
class Response:
    """One answer."""

    status: int
    headers: dict[str, str]
    html: str

    @property
    def text(self) -> str:
        """What a reader sees, in one line."""
        body = re.sub(r"<(style|script|title)\b.*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", body.replace("<wbr>", ""))).split())

    def links(self) -> list[str]:
        """Where its links lead."""
        return [unescape(link) for link in re.findall(r'<a [^>]*href="([^"]*)"', self.html)]

    def forms(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Where its forms are posted, with their hidden fields."""
        found = []
        for place, body in re.findall(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', self.html, re.DOTALL):
            fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', body)
            found.append((unescape(place), [(unescape(name), unescape(value)) for name, value in fields]))
        return found


class Client:
    """Asks one application."""

    def __init__(self, app: Wsgi, prefix: str = "") -> None:
        self.dashboard: Any = app
        self._app = validator(app)
        self.prefix = prefix

    def get(self, path: str, method: str = "GET", **headers: str) -> Response:
        """Ask for a page; ``Host`` and others by their names, with underscores."""
        return self._ask(method, path, b"", headers)

    def post(self, path: str, fields: Iterable[tuple[str, str]] = (), **headers: str) -> Response:
        """Send a form, as a page of the same origin does, unless *headers* say otherwise."""
        given = {"Sec_Fetch_Site": "same-origin", "Content_Type": "application/x-www-form-urlencoded", **headers}
        return self._ask("POST", path, urlencode(list(fields)).encode(), given)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        place, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": self.prefix,
            "PATH_INFO": place.removeprefix(self.prefix).encode().decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if body or method == "POST":
            environ["CONTENT_LENGTH"] = str(len(body))
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        environ = {name: value for name, value in environ.items() if value != ""} | {"PATH_INFO": environ["PATH_INFO"]}
        environ.setdefault("SCRIPT_NAME", "")
        environ.setdefault("QUERY_STRING", "")
        started: list[Any] = []

        def start(status: str, given: list[tuple[str, str]], info: object = None) -> Callable[[bytes], object]:
            started.extend((status, dict(given)))
            return lambda data: None

        answer: Any = self._app(environ, start)
        html = b"".join(answer).decode()
        answer.close()
        status, found = started
        return Response(int(status[:3]), found, html)
