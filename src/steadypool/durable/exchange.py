"""What goes between a worker's desk and the engine, in one transaction: what has ended goes, new claims come."""

from __future__ import annotations

from collections.abc import Sequence

from steadypool.durable.desk import Desk
from steadypool.durable.engine import Engine
from steadypool.durable.records import Claimed
from steadypool.durable.registration import Registration
from steadypool.durable.tally import Tally
from steadypool.durable.trouble import TROUBLES, Trouble


class Exchange:
    """Whatever the engine raises, nothing is lost: what could not be written stays on the desk and goes with the next.

    A call that raised may have happened, and have claimed jobs of which we never heard: the next one disowns those
    first.
    """

    def __init__(
        self,
        engine: Engine,
        desk: Desk,
        registration: Registration,
        tally: Tally,
        trouble: Trouble,
        queues: Sequence[str],
    ) -> None:
        self._engine = engine
        self._desk = desk
        self._registration = registration
        self._tally = tally
        self._trouble = trouble
        self._queues = list(queues)

    def make(self, limit: int) -> Claimed | None:
        """Write down what has ended and claim up to *limit*; ``None`` if the engine is in trouble."""
        desk = self._desk
        count, leases = len(desk.pending), len(desk.done)
        settlements = desk.pending[:count]
        self._queues.append(self._queues.pop(0))
        number = self._registration.number
        try:
            if self._trouble:
                self._engine.disown(number, desk.leases())
            answer = self._engine.claim(number, self._queues, limit, settlements, desk.done[:leases])
        except TROUBLES as error:
            self._trouble.note(error)
            return None
        self._trouble.is_over()
        self._tally.note_written(settlements, answer.refused)
        self._tally.claimed += len(answer.claims)
        desk.written(count, leases)
        return answer

    def take_leave(self) -> None:
        """The worker has stopped."""
        if self._desk.pending:
            return  # it holds something still: its lease runs out by itself
        number = self._registration.number
        try:
            self._engine.claim(number, (), 0, (), self._desk.done)
            self._engine.leave(number)
        except TROUBLES:
            return  # likewise
