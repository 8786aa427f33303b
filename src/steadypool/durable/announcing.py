"""How a worker tells its sinks what happens. With no sink subscribed no event is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steadypool.seams.sink import Sink


class Announcer:
    """The sinks of one worker. One that raises is told nothing more, and noted."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes
        self._sinks: tuple[Sink, ...] = ()

    def subscribe(self, sink: Sink) -> None:
        """Tell this one, too."""
        self._sinks = (*self._sinks, sink)

    def tell(self, make: Callable[[], Any]) -> None:
        """Tell every sink of the event that *make* gives."""
        if not self._sinks:
            return
        event = make()
        for sink in self._sinks:
            try:
                sink(event)
            except Exception as error:
                self._notes.append(f"a sink raised {type(error).__name__}: {error}")
                self._sinks = tuple(other for other in self._sinks if other is not sink)
