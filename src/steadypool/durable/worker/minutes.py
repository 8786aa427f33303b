"""What a worker has ended in the present minute, for those who look: written down once a second at most.

Every job comes by here, so jobs are counted many at a time, and run times added up by task alone: at the writing they
are shared out among the queues of a task, by how many jobs of each have completed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Settlement, Verdict
from steadypool.model.clock import monotonic

EVERY = 1.0
"""Seconds between two writings."""
Key = tuple[str, str]
"""Queue and task."""


class Minutes:
    """Of one worker. Its loop alone uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._completed: Counter[Key] = Counter()
        self._failed: Counter[Key] = Counter()
        self._discarded: Counter[Key] = Counter()
        self.ran: dict[str, float] = {}
        """Seconds that jobs have run that returned, by task. Who settles one adds to it."""
        self._due = 0.0

    def note(self, settlements: Sequence[Settlement], refused: Collection[tuple[int, int]]) -> None:
        """These have been written down, but for the refused."""
        if refused:
            settlements = [one for one in settlements if (one.claim.number, one.claim.lease) not in refused]
        claims = [one.claim for one in settlements if one.verdict is Verdict.COMPLETE]
        self._completed.update([(claim.queue, claim.task) for claim in claims])
        if len(claims) == len(settlements):
            return
        for settlement in settlements:
            key = settlement.claim.queue, settlement.claim.task
            if settlement.verdict in (Verdict.RETRY, Verdict.DISCARD):
                self._failed[key] += settlement.error is not None
                self._discarded[key] += settlement.verdict is Verdict.DISCARD

    def write_due(self) -> None:
        """Write them down, if it is time.

        Raises:
            EngineError: it could not be done.
        """
        if (self._completed or self._failed) and monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write down what there is. Raises likewise."""
        rows = self._rows()
        if not rows:
            return
        self._due = monotonic() + EVERY
        try:
            self._engine.figures.add(rows)
        except EngineError as error:
            if error.nothing_happened:
                raise
            self._forget()  # it may have been added: rather too little than twice
            raise
        self._forget()

    def _rows(self) -> list[Ended]:
        by_task: Counter[str] = Counter()
        for (_, task), count in self._completed.items():
            by_task[task] += count
        return [
            Ended(
                *key,
                self._completed[key],
                self._failed[key],
                self._discarded[key],
                self.ran.get(key[1], 0.0) * self._completed[key] / max(1, by_task[key[1]]),
            )
            for key in sorted(_keys(self._completed, self._failed))
        ]

    def _forget(self) -> None:
        for _, task in self._completed:
            self.ran.pop(task, None)
        for counts in (self._completed, self._failed, self._discarded):
            counts.clear()


def _keys(*counts: Iterable[Key]) -> set[Key]:
    return {key for one in counts for key in one}
