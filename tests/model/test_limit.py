"""What a `Limit` may be."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

from steadypool import Limit


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({}, ValueError, "needs running"),
        ({"name": ""}, TypeError, "non-empty"),
        ({"name": 5, "running": 1}, TypeError, "name"),
        ({"running": 0}, ValueError, "running"),
        ({"running": 1.5}, TypeError, "running"),
        ({"running": True}, TypeError, "running"),
        ({"starts": 0, "per": 1}, ValueError, "starts"),
        ({"starts": 5}, ValueError, "per=60"),
        ({"per": 5}, ValueError, "starts=100"),
        ({"starts": 5, "per": 0}, ValueError, "per"),
        ({"starts": 5, "per": "1"}, TypeError, "per"),
        ({"starts": 5, "per": float("inf")}, ValueError, "inf"),
        ({"starts": 5, "per": 1, "burst": 0}, ValueError, "burst"),
        ({"running": 5, "burst": 2}, ValueError, "about starts"),
        ({"running": 5, "by": ""}, TypeError, "by"),
        ({"running": 5, "by": 3}, TypeError, "by"),
        ({"running": 5, "by": ()}, TypeError, "by"),
        ({"running": 5, "by": int}, TypeError, "by"),
        ({"running": 5, "over": "queue"}, ValueError, "'discard'"),
    ],
)
def test_a_limit_that_is_none_says_what_to_give(kwargs: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Limit(**kwargs)


def test_numbers_are_kept_plain() -> None:
    limit = Limit("stripe", running=5, starts=100, per=timedelta(minutes=1), by=["tenant", "region"])  # type: ignore[arg-type]
    assert (limit.per, limit.by, limit.over) == (60.0, ("tenant", "region"), "wait")
    assert pickle.loads(pickle.dumps(limit)) == copy.copy(limit) == limit
    assert hash(limit) == hash(copy.copy(limit))


def test_all_but_the_name_are_keywords() -> None:
    with pytest.raises(TypeError):
        Limit("stripe", 5)  # type: ignore[misc]
