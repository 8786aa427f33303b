"""What was asked: `Request`, made of a WSGI environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from steadypool.contrib.web.answer import Refusal

LARGEST_FORM = 64 * 1024
LONGEST_QUERY = 16 * 1024
MOST_FIELDS = 400
FORM = "application/x-www-form-urlencoded"


class Fields:
    """The fields of a query or a form."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def get(self, name: str) -> str:
        """The first field of that name; empty: there is none."""
        return next((value for key, value in self._pairs if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """All fields of that name that are not empty, each once."""
        return tuple(dict.fromkeys(value for key, value in self._pairs if key == name and value))


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as a function that is given as ``access`` gets it."""

    method: str
    path: str
    """Below the place where the dashboard is mounted."""
    prefix: str
    """That place: empty, or ``/ops/jobs``."""
    headers: Mapping[str, str]
    """By names in lower case."""
    environ: Mapping[str, Any] = field(repr=False)
    """The WSGI environment. Of an ASGI application ``asgi.scope`` is the scope, and in a Django site ``django.request``
    the request."""
    query: Fields

    @staticmethod
    def of(environ: Mapping[str, Any]) -> Request:
        """What the environment says.

        Raises:
            Refusal: it cannot be understood.
        """
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        place = _text_of(environ.get("SCRIPT_NAME", "")).strip("/")
        return Request(
            str(environ["REQUEST_METHOD"]),
            _text_of(environ.get("PATH_INFO", "")) or "/",
            f"/{quote(place)}" if place else "",
            headers,
            environ,
            _fields(str(environ.get("QUERY_STRING", "")), LONGEST_QUERY),
        )

    def form(self) -> Fields:
        """The body.

        Raises:
            Refusal: there is none, or it is not what a form of ours sends.
        """
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise Refusal("415 Unsupported Media Type", f"a change is a form: {FORM}")
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refusal("411 Length Required", "a form says how long it is")
        if int(length) > LARGEST_FORM:
            raise Refusal("413 Content Too Large", "that is no form of this page")
        return _fields(self.environ["wsgi.input"].read(int(length)).decode("latin-1"), LARGEST_FORM)


def _text_of(value: str) -> str:
    """A text of WSGI's, whose characters are bytes."""
    return str(value).encode("latin-1", "replace").decode("utf-8", "replace")


def _fields(text: str, longest: int) -> Fields:
    if len(text) > longest:
        raise Refusal("414 URI Too Long", "that is no address of a page")
    try:
        return Fields(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace"))
    except ValueError:
        raise Refusal("400 Bad Request", "that is no address or form of a page") from None
