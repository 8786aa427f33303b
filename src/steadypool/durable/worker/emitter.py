"""How a worker emits events to its sinks. With no sink subscribed no event is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from steadypool.durable.engine.records import Claim, Settlement, Verdict
from steadypool.model.clock import monotonic
from steadypool.model.error_text import in_a_line, where_raised
from steadypool.model.lazy_module import Lazily
from steadypool.model.sink_protocols import Sink
from steadypool.model.states import Outcome

if TYPE_CHECKING:
    from steadypool.durable.worker import events
else:
    events = Lazily("steadypool.durable.worker.events")  # imported when the first event is made

__all__ = ["Emitter", "events"]
P = ParamSpec("P")


class Emitter:
    """The sinks of one worker. A sink that raises is removed, and a note is kept."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes
        self._sinks: tuple[Sink, ...] = ()
        self.failures: Counter[tuple[str, str, str]] = Counter()
        """Attempts that have failed, by queue, task and what came next."""

        self.ticks: Counter[tuple[str, str, str]] = Counter()
        """Ticks of schedules, by queue, task, and what became of them: ``"fired"`` or ``"skipped"``."""

    def subscribe(self, sink: Sink) -> None:
        """Emit to this one, too."""
        self._sinks = (*self._sinks, sink)

    def unsubscribe(self, sink: Sink) -> None:
        """Emit to this one no more."""
        self._sinks = tuple(other for other in self._sinks if other is not sink)

    def emit(self, make: Callable[[], Any]) -> None:
        """Call every sink with the event that *make* gives."""
        if not self._sinks:
            return
        try:
            event = make()
        except Exception as error:  # an exception of the user's may do anything when it is looked at
            self._notes.append(f"an event could not be made: {type(error).__name__}")
            return
        for sink in self._sinks:
            try:
                sink(event)
            except Exception as error:
                self._notes.append(f"a sink raised {in_a_line(error)}")
                self.unsubscribe(sink)

    def report(self, kind: Callable[Concatenate[str, float, P], object], *facts: P.args, **more: P.kwargs) -> None:
        """Emit an event of this worker, now."""
        self.emit(partial(kind, self.name, monotonic(), *facts, **more))

    def emit_unfit(self, claim: Claim, settlement: Settlement, error: BaseException) -> None:
        """Emit that a job goes back since its arguments are not for this worker's version of the task."""
        self.report(events.ArgumentsUnknown, claim.id, claim.task, error, settlement.delay)

    def emit_snoozed(self, claim: Claim, seconds: float) -> None:
        """Emit that a job goes back for so long, since it has raised `Snooze`."""
        self.emit(lambda: events.JobSnoozed(self.name, monotonic(), claim.id, claim.task, claim.queue, seconds))

    def emit_failure(self, claim: Claim, settlement: Settlement, error: BaseException) -> None:
        """Emit that an attempt has failed, and what comes next."""
        recorded = settlement.error
        assert recorded is not None
        self.failures[claim.queue, claim.task, settlement.verdict.value] += 1

        def make() -> Any:
            outcome, where = Outcome(recorded.outcome), where_raised(error)
            job = self.name, monotonic(), claim.id, claim.task, claim.queue, claim.attempt, outcome, error, where
            if settlement.verdict is Verdict.RETRY:
                return events.AttemptFailed(*job, settlement.delay)
            return events.JobGivenUp(*job, settlement.reason)

        self.emit(make)
