"""Who comes from another library finds our names in the errors."""

from __future__ import annotations

from typing import Any

import pytest

from steadypool import Every, Queue, task
from steadypool.durable.client.options import OPTION_NAMES
from steadypool.model import peer_names
from steadypool.model.peer_names import ours_for, unknown_option


def run(number: int) -> int:
    return number


@pytest.fixture
def queue() -> Any:
    """One that is never opened; type checkers would find all of these mistakes."""
    return Queue("sqlite:///queue.db")


@pytest.mark.parametrize("name", sorted(peer_names._OURS))
def test_each_name_leads_to_an_option_that_there_is(name: str) -> None:
    assert name not in OPTION_NAMES
    ours = ours_for(name, OPTION_NAMES)
    assert ours is not None and ours in unknown_option(name, OPTION_NAMES)
    assert ours_for(f"_{name}", OPTION_NAMES) == ours, "as arq has it"


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ({"time_limit": 60}, "timeout=60"),
        ({"max_retries": 3}, r"retry=Retry\(attempts=4\)"),
        ({"acks_late": True}, "leave it out: a job is done once its function has ended"),
        ({"countdown": 5}, "there are id, lane"),
    ],
)
def test_a_task_of_a_pool_says_what_is_meant(given: dict[str, Any], instead: str) -> None:
    with pytest.raises(TypeError, match=f'unknown option "{next(iter(given))}": .*{instead}'):
        task(**given)
    with pytest.raises(TypeError, match=instead):
        task(run).options(**given)


def test_so_does_a_durable_task(queue: Any) -> None:
    with pytest.raises(TypeError, match='unknown option "countdown": here it is delay=60'):
        queue.task(countdown=5)
    durable = queue.task(run)
    with pytest.raises(TypeError, match='unknown option "result_ttl": here it is keep=3600'):
        durable.options(result_ttl=5)
    with pytest.raises(TypeError, match=r"'_defer_by'; options stand before it: \.options\(delay=60\)\.enqueue"):
        durable.enqueue(1, _defer_by=5)


def test_calls_of_other_libraries_are_answered_with_ours(queue: Any) -> None:
    durable = queue.task(run)
    pooled: Any = task(run)
    with pytest.raises(AttributeError, match=r"a durable task has no 'apply_async': .* enqueue\(\.\.\.\)"):
        durable.apply_async((1,))
    with pytest.raises(AttributeError, match=r"a durable task has no 's': make a call of it with call\(\.\.\.\)"):
        durable.s(1)
    with pytest.raises(AttributeError, match=r"a task has no 'delay': .* pool\.submit\(task, \.\.\.\)"):
        pooled.delay(1)
    with pytest.raises(AttributeError, match=r"a queue has no 'enqueue': .* task\.enqueue\(\.\.\.\)"):
        queue.enqueue(run, 1)
    assert not hasattr(durable, "anything") and not hasattr(pooled, "anything") and not hasattr(queue, "anything")


def test_an_interval_is_given_by_name(queue: Any) -> None:
    every: Any = Every
    with pytest.raises(TypeError, match=r"such as Every\(seconds=60\), not Every\(60\)"):
        every(60)
    with pytest.raises(TypeError, match=r"not 60; Every\(seconds=60\)\?"):
        queue.task(schedule=60)(run)
