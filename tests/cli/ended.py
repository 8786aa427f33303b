"""What a run of the command line leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    code: int
    out: str
    err: str

    @property
    def results(self) -> list[Any]:
        """The output's lines, each of which must be whole."""
        return json_lines(self.out)


def json_lines(text: str) -> list[Any]:
    """The values of whole lines of JSON."""
    assert not text or text.endswith("\n"), f"the last line is cut: {text[-80:]!r}"
    return [json.loads(line) for line in text.splitlines()]
