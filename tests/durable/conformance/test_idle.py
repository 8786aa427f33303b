"""What costs an idle worker's store nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.testing import EngineKind

from .steps import complete, job, put, take, worker

WINDOWS = 10
"""A server writes for itself now and then."""


def leave_empty(engine: Engine) -> None:
    put(engine)
    put(engine, delay=3600.0)
    put(engine, queue="other")
    engine.settle_many([complete(claim) for claim in take(engine, worker(engine))])


def pause(engine: Engine) -> None:
    for _ in range(3):
        put(engine)
    engine.pause("default", True)


def pause_what_was_delayed(engine: Engine) -> None:
    engine.put_many([job(delay=1e-6), job(delay=3600.0)])
    engine.pause("default", True)
    take(engine, worker(engine))  # it becomes available, once


@pytest.mark.parametrize("prepare", [leave_empty, pause, pause_what_was_delayed])
def test_a_look_for_something_to_do_in_vain_writes_nothing(
    engine: Engine, engine_kind: EngineKind, url: str, prepare: Callable[[Engine], None]
) -> None:
    prepare(engine)
    who = worker(engine)
    for look in (lambda: take(engine, who), lambda: engine.sweep(100), lambda: engine.prune(100), engine.stats):
        look()
        for _ in range(WINDOWS):
            before = engine_kind.written(url)
            for _ in range(3):
                look()
            if engine_kind.written(url) == before:
                break
        else:
            raise AssertionError(f"{look} writes")


@pytest.mark.parametrize("prepare", [leave_empty, pause, pause_what_was_delayed])
def test_a_claim_in_vain_does_not_wait_for_who_writes(
    engine: Engine, engine_kind: EngineKind, url: str, prepare: Callable[[Engine], None]
) -> None:
    if not engine_kind.is_owner:
        pytest.skip("the test has not the right to hold it")
    prepare(engine)
    who = worker(engine)
    take(engine, who)
    with engine_kind.hold(url):
        assert take(engine, who) == []


def test_a_paused_queue_beside_one_that_is_not(engine: Engine) -> None:
    pause(engine)
    other = put(engine, queue="other")
    assert [claim.id for claim in take(engine, worker(engine), queues=["default", "other"])] == [other]
    engine.pause("default", False)
    assert len(take(engine, worker(engine))) == 3
