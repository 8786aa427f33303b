"""What a worker has ended in the present minute, for those who look: written down once a second at most."""

from __future__ import annotations

from collections.abc import Sequence

from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, Settlement, Verdict
from steadypool.model.clock import monotonic

EVERY = 1.0
"""Seconds between two writings."""


class Minutes:
    """Of one worker. Its loop alone calls it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ended: dict[tuple[str, str], list[float]] = {}
        self._due = 0.0

    def note(self, settlement: Settlement) -> None:
        """This has been written down."""
        verdict = settlement.verdict
        if verdict is Verdict.COMPLETE:
            self._of(settlement.claim)[0] += 1
        elif verdict in (Verdict.RETRY, Verdict.DISCARD):
            counts = self._of(settlement.claim)
            counts[1] += settlement.error is not None
            counts[2] += verdict is Verdict.DISCARD

    def note_time(self, claim: Claim, seconds: float) -> None:
        """It has returned after so long."""
        self._of(claim)[3] += seconds

    def _of(self, claim: Claim) -> list[float]:
        key = (claim.queue, claim.task)
        found = self._ended.get(key)
        if found is None:
            found = self._ended[key] = [0, 0, 0, 0.0]
        return found

    def write_due(self) -> None:
        """Write them down, if it is time.

        Raises:
            EngineError: it could not be done.
        """
        if self._ended and monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write down what there is. Raises likewise."""
        if not self._ended:
            return
        self._due = monotonic() + EVERY
        try:
            self._engine.figures.add(self._rows())
        except EngineError as error:
            if not error.nothing_happened:
                self._ended.clear()  # it may have been added: rather too little than twice
            raise
        self._ended.clear()

    def _rows(self) -> Sequence[Ended]:
        return [
            Ended(queue, task, int(completed), int(failed), int(discarded), ran)
            for (queue, task), (completed, failed, discarded, ran) in sorted(self._ended.items())
        ]
