"""The states that jobs save: of the declared type, and of no other; and where nothing can be saved."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from steadypool import CheckpointRefused, JobInterrupted, Queue, ThreadPool, current_job
from steadypool.durable.client.checkpoint import StateType
from steadypool.durable.engine.notes import MOST_BYTES


@dataclass
class Place:
    page: int
    seen: list[str]


KEPT: list[tuple[Any, Any]] = [
    (int, 7),
    (int | None, None),
    (str, "ü"),
    (datetime, datetime(2026, 1, 2, tzinfo=UTC)),
    (UUID, UUID(int=3)),
    (Place, Place(3, ["a"])),
    (tuple[int, str], (1, "b")),
    (dict[str, int], {"a": 1}),
    (float, 1.5),
]


@pytest.mark.parametrize(("hint", "state"), KEPT, ids=str)
def test_a_state_comes_back_as_it_was(hint: Any, state: Any) -> None:
    states = pickle.loads(pickle.dumps(StateType("app.work", hint)))
    read = states.decode(states.encode(state))
    assert read == state and type(read) is type(state)


@pytest.mark.parametrize(
    ("hint", "state", "why"),
    [
        (int, "7", "checkpoint=int, and a state must be of that type"),
        (int, 7.0, "7.0"),
        (Place, 3, "checkpoint=Place"),
        (tuple[int, ...], [1], "list"),
        (Any, object(), "must be of that type"),
    ],
)
def test_one_of_another_type_is_refused(hint: Any, state: Any, why: str) -> None:
    with pytest.raises(CheckpointRefused, match=why):
        StateType("app.work", hint).encode(state)


def test_a_large_one_is_refused_with_its_size() -> None:
    states = StateType("app.work", str)
    assert len(states.encode("x" * (MOST_BYTES - 2))) == MOST_BYTES
    with pytest.raises(CheckpointRefused, match=r"app\.work: the state has 66,562 bytes of JSON, and may have 65,536"):
        states.encode("x" * 65 * 1024)


def test_a_type_that_cannot_be_stored_is_refused_at_once(tmp_path: Path) -> None:
    queue = Queue(f"sqlite:///{tmp_path}/jobs.db")
    for hint in (Path, object(), lambda: 1):
        with pytest.raises(TypeError, match=r"checkpoint=.* is no type that can be stored"):
            queue.task(lambda: None, name="work", checkpoint=hint)
    task = queue.task(lambda: None, name="work", checkpoint=int)
    assert task.options(priority=3).decode_checkpoint(b"7") == 7
    with pytest.raises(TypeError, match="unknown option"):
        task.options(checkpoint=str)  # type: ignore[call-arg]


def save() -> Any:
    current_job().save(1)
    return current_job().checkpoint


def test_where_nothing_can_be_saved() -> None:
    assert save() is None, "called as a plain function"
    with ThreadPool(1) as pool, pytest.raises(RuntimeError, match=r"has no checkpoint.*@queue\.task\(checkpoint=int\)"):
        pool.submit(save).result()


def test_no_except_exception_stops_an_interruption() -> None:
    assert not issubclass(JobInterrupted, Exception) and JobInterrupted.__module__ == "steadypool"
