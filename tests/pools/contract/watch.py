"""A sink that tests can wait on."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

from steadypool.model.events import Event, JobEvent
from tests.pools.contract.stage import WAIT

E = TypeVar("E", bound=Event)


class Watch:
    """Keeps every event of a pool, and waits for one."""

    def __init__(self, pool: Any) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self.unsubscribe = pool.subscribe(self)

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, kind: type[E], count: int = 1) -> list[E]:
        """Wait until there are *count* events of that kind, and return all there are."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(kind)) >= count, WAIT), f"no {kind.__name__}"
            return self.of(kind)

    def of(self, kind: type[E]) -> list[E]:
        """The events of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def story(self, job_id: str) -> list[str]:
        """The names of one job's events, in order."""
        events = [event for event in self.events if isinstance(event, JobEvent)]
        return [type(event).__name__ for event in events if event.job_id == job_id]
