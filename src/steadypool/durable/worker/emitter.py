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
    """The sinks of one worker. When one raises, the others and itself get a `SinkFailed`, and it stays subscribed."""

    SINK_SECONDS = 60.0
    """Between two `SinkFailed` of one sink, which may fail at every event."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes
        self._sinks: tuple[Sink, ...] = ()
        self._failed_at: dict[int, float] = {}
        """When the last `SinkFailed` of a sink was emitted, by the sink's `id`."""
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
        self._failed_at.pop(id(sink), None)

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
                self._sink_raised(sink, event, error)

    def _sink_raised(self, sink: Sink, event: object, error: Exception) -> None:
        if isinstance(event, events.SinkFailed):
            return  # it has been said to all who can take it
        before, now = self._failed_at.get(id(sink)), monotonic()
        if before is None:
            self._notes.append(f"a sink raised {in_a_line(error)}")
        if before is None or now >= before + self.SINK_SECONDS:
            self._failed_at[id(sink)] = now
            name = getattr(sink, "__qualname__", type(sink).__qualname__)
            self.report(events.SinkFailed, name, type(event).__name__, error)

    def report(self, kind: Callable[Concatenate[str, float, P], object], *facts: P.args, **more: P.kwargs) -> None:
        """Emit an event of this worker, now."""
        self.emit(partial(kind, self.name, monotonic(), *facts, **more))

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
