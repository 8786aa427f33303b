"""A line so slow that a call takes longer than the engine is patient: it takes its time, and gets through."""

from __future__ import annotations

import time

import pytest

from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.postgres.slow_line import seconds_to_send
from steadypool.durable.engine.records import NewJob, Settlement, Verdict
from tests.durable.engine.postgres.cable import Cable

RATE = 2_000_000
PATIENCE = 0.4


def test_what_is_large_gets_through_both_ways(address: str) -> None:
    large = b'"' + b"x" * 1_500_000 + b'"'  # for longer than its patience
    with Cable(address, rate=RATE) as cable:
        engine = open_engine(cable.url)
        engine.now()
        engine.timeout = PATIENCE
        began = time.monotonic()
        [placed] = engine.put_many([NewJob("app.work", large)])
        who = engine.register("tester", 60.0)
        [claim] = engine.claim(who, ["default"], 10).claims
        assert claim.payload == large
        assert engine.settle_many([Settlement(claim, Verdict.COMPLETE, large)]) == frozenset()
        found = engine.get(placed.id)
        assert found is not None and found.result == large
        assert time.monotonic() - began > 4 * len(large) / RATE, "the line was not slow"
        engine.close()


def test_a_line_on_which_nothing_moves_is_given_up(address: str) -> None:
    with Cable(address) as cable:
        engine = open_engine(cable.url)
        engine.now()
        engine.timeout = PATIENCE
        cable.cut()
        began = time.monotonic()
        with pytest.raises(EngineError):
            engine.now()
        assert time.monotonic() - began < 20
        cable.mend()
        engine.close()


def test_what_is_sent_has_time_to_arrive() -> None:
    assert seconds_to_send([1, "{}", None, ["a"], []]) < 0.001
    assert seconds_to_send([[b"x" * 500_000] * 4]) == 4.0
