"""What a page is made of: `Look`, and `Page`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steadypool.contrib.web.access import Access
from steadypool.contrib.web.request import Request
from steadypool.contrib.web.shown import Arguments
from steadypool.contrib.web.store import Reader


@dataclass(frozen=True, slots=True)
class Look:
    """One request for a page, by a user who may see it."""

    request: Request
    access: Access
    reader: Reader
    arguments: Arguments

    def now(self) -> float:
        """The clock of the store, as of a moment ago."""
        return self.reader.read("now", lambda engine: engine.now())


@dataclass(frozen=True, slots=True)
class Page:
    """A page to be rendered."""

    template: str
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: str = "200 OK"
    moves: bool = True
    """Whether what it shows may change while it is looked at."""
