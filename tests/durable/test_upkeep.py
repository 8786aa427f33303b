"""What a worker does for all now and then."""

from __future__ import annotations

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.worker import maintenance
from steadypool.durable.worker.maintenance import Maintenance
from tests.durable.conformance.steps import complete, job, take, worker

COUNT = 300


@pytest.mark.every_engine
def test_pruning_goes_on_while_it_finds_full_batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "PRUNED_AT_ONCE", 100)
    engine.put_many([job(keep=1e-6) for _ in range(COUNT)])
    engine.settle_many([complete(claim) for claim in take(engine, worker(engine), COUNT)])
    care = Maintenance(engine, 25, 3600.0, lambda: True)
    care._prune_due = 0.0
    waits = []
    while engine.stats().queues and engine.stats().queues[0].completed:
        while care.until_prune() > 0:
            pass
        assert care.is_due()
        care.run_due()
        waits.append(care.until_prune())
    assert len(waits) == 3 and max(waits) < maintenance.PRUNE_EVERY  # the third was full, too: there may be more
    while care.until_prune() > 0:
        pass
    care.run_due()
    assert maintenance.PRUNE_EVERY - 1 < care.until_prune() <= maintenance.PRUNE_EVERY and not care.is_due()
