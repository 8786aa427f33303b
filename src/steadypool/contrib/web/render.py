"""Pages are Jinja's templates, which escape everything; here is what they are made with."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from steadypool.contrib.web import shown
from steadypool.contrib.web.answer import Headers, security_headers
from steadypool.model.quantities import progress_text


class Renderer:
    """Makes pages. Made once; any thread may call it.

    Raises:
        ImportError: Jinja2 is not installed.
    """

    def __init__(self) -> None:
        try:
            jinja2 = import_module("jinja2")
        except ImportError as error:
            raise ImportError("the dashboard needs Jinja2: pip install 'steadypool[web]'") from error
        self._style, self._script = read("web.css"), read("web.js")
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(lambda name: read(f"templates/{name}")),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        markup = import_module("markupsafe")
        safe = markup.Markup
        self._environment.globals.update(style=safe(self._style), script=safe(self._script), query=query)
        self._environment.filters.update(
            line=shown.line,
            dotted=lambda text: safe(markup.escape(shown.line(text, 200)).replace(".", safe(".<wbr>"))),
            lines=shown.lines,
            number=shown.number,
            found=shown.number_found,
            age=shown.age,
            moment=shown.moment,
            long=shown.long,
            precisely=shown.precisely,
            progress=progress_text,
            as_json=shown.as_json,
        )

    @property
    def headers(self) -> Headers:
        """What every answer has."""
        return security_headers(_hash_of(self._style), _hash_of(self._script))

    def render(self, name: str, **values: Any) -> bytes:
        """The page of that name."""
        text: str = self._environment.get_template(f"{name}.html").render(**values)
        return text.encode("utf-8", "replace")


@cache
def read(name: str) -> str:
    """A file of this package."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def query(pairs: list[tuple[str, Any]]) -> str:
    """The end of an address: those pairs that have something to say."""
    known = [(name, str(value)) for name, value in pairs if value not in ("", None)]
    return f"?{urlencode(known)}" if known else ""


def _hash_of(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
