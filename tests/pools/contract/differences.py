"""Scenarios that one kind of pool cannot have: ``@pytest.mark.differs_on("asyncio", "why")`` leaves that kind out.

What a mark says must exist: the kind, and the file that ``see`` names.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.pools.contract.kinds import KINDS

ROOT = Path(__file__).parents[3]


def is_left_out(item: pytest.Item) -> bool:
    """Whether a mark of the scenario names the kind of pool that it would run on."""
    return any(_applies(item, mark) for mark in item.iter_markers("differs_on"))


def _applies(item: pytest.Item, mark: pytest.Mark) -> bool:
    kind, why = mark.args
    if kind not in KINDS:
        raise pytest.UsageError(f"{item.nodeid} differs on {kind!r}; the kinds are {', '.join(KINDS)}")
    for path in re.findall(r"see (\S+\.py)", why):
        if not (ROOT / path).is_file():
            raise pytest.UsageError(f"{item.nodeid} differs on {kind}: there is no {path}")
    if mark in item.own_markers and "kind" not in getattr(item, "fixturenames", ()):
        raise pytest.UsageError(f"{item.nodeid} differs on {kind}, and runs on no kind of pool")
    if sys.version_info < mark.kwargs.get("since", (3,)):
        return False
    return _kind_of(item) == kind


def _kind_of(item: pytest.Item) -> str | None:
    call = getattr(item, "callspec", None)
    kind = call.params.get("kind") if call else None
    return getattr(kind, "name", None)
