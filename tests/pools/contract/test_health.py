"""Whether a pool is alive and ready, as it says itself."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import Health, PoolState
from steadypool.model.events import PoolCancelling, PoolDraining
from steadypool.model.health import HealthReason
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch


def test_an_open_pool_is_alive_and_ready(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(3, name="well")
    health = pool.health()
    assert isinstance(health, Health)
    assert (health.name, health.state, health.alive, health.ready) == ("well", PoolState.OPEN, True, True)
    assert (health.reasons, health.full, health.stuck, health.capacity) == ((), False, 0, 3)
    assert str(health) == "pool 'well' is ready"
    with pytest.raises(dataclasses.FrozenInstanceError):
        health.ready = False


def test_a_full_queue_is_said_and_is_no_reason(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=1)
    [(_, actor)] = stage.occupy(pool)
    pool.submit(jobs.nothing)
    assert pool.health().full and pool.health().ready
    actor.tell("return")


def test_a_drain_ends_readiness_and_not_life(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, cancel_grace=WAIT, name="ending")
    [(_, actor)] = stage.occupy(pool)
    watch = Watch(pool)
    pool.request_drain(WAIT)
    watch.wait_for(PoolDraining)
    health = pool.health()
    assert (health.alive, health.ready, health.reasons) == (True, False, (HealthReason.DRAINING,))
    assert str(health) == "pool 'ending' is not ready: draining"
    pool.request_drain(0)
    watch.wait_for(PoolCancelling)
    assert pool.health().reasons == (HealthReason.CANCELLING,) and pool.health().alive
    actor.tell("return")
    pool.drain(WAIT)
    health = pool.health()
    assert (health.alive, health.ready, health.reasons) == (True, False, (HealthReason.CLOSED,))


@pytest.mark.differs_on("asyncio", "there is no initializer")
def test_a_broken_pool_is_not_alive(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, initializer=os.listdir, initargs=("/no such folder",))
    pool.submit(jobs.nothing).exception(WAIT)
    pool.drain(WAIT)
    health = pool.health()
    assert not health.alive and not health.ready
    assert health.reasons == (HealthReason.CLOSED, HealthReason.BROKEN)
