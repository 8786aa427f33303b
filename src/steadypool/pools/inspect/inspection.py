"""Looking into a pool: what every kind of pool answers about itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from steadypool.model.sink_protocols import Sink
from steadypool.model.states import PoolState
from steadypool.pools.core.core import Core

if TYPE_CHECKING:
    from steadypool.model.health import Health
    from steadypool.model.reports import ErrorGroup, PoolStats
    from steadypool.pools.inspect.dump_on_signal import DumpOnSignal, Target


class Subscription:
    """What `subscribe` returns: called, it ends the subscription; called again, it does nothing."""

    def __init__(self, core: Core, sink: Sink) -> None:
        self._subscribed = [(core, sink)]

    def __call__(self) -> None:
        try:
            core, sink = self._subscribed.pop()  # atomic: of two who call at once, one ends it
        except IndexError:
            return
        core.emitter.remove_sink(sink)


class Inspection:
    """Name, state, statistics, errors and events of the pool whose core is ``_core``."""

    _core: Core

    @property
    def name(self) -> str:
        """What reports call the pool."""
        return self._core.name

    @property
    def state(self) -> PoolState:
        """The pool's state: open, draining, cancelling or closed."""
        return self._core.public_state

    def stats(self) -> PoolStats:
        """The books at this moment. They balance."""
        return self._core.stats()

    def health(self) -> Health:
        """Whether the pool is alive and ready, and if not, why.

        From another thread than the loop's own it asks the loop for a sign of life, and waits for that for a second at
        most.
        """
        from steadypool.pools.inspect.health import read_health  # in the methods: most programs ask for none of it

        return read_health(self._core)

    def errors(self) -> tuple[ErrorGroup, ...]:
        """The failures so far, grouped by task, exception type and place; the most frequent first."""
        return self._core.ledger.groups()

    def dump(self) -> str:
        """Where every running job is now, as text: its stack, for a process also while C code runs. From any thread."""
        from steadypool.pools.inspect.dump import dump_text

        return dump_text(self._core)

    def dump_on_signal(self, number: int = signal.SIGUSR1, *, to: Target = None) -> DumpOnSignal:
        """A ``with`` block in which each such signal writes a `dump`; see `DumpOnSignal`.

        Args:
            number: the signal.
            to: where the text goes: a text file, or a function that is called with it, on a thread of its own; by
                default standard error.

        Raises:
            TypeError, ValueError: for an invalid value.
            RuntimeError: on entering it in another thread than the main one.
        """
        from steadypool.pools.inspect.dump_on_signal import DumpOnSignal

        return DumpOnSignal(self._core, number, to)

    def subscribe(self, sink: Sink) -> Callable[[], None]:
        """Have *sink* called with every event from now on; returns a function that ends that.

        Subscribed twice, it is called once for each event, until both have ended.

        Raises:
            TypeError: *sink* cannot be called.
        """
        if not callable(sink):
            raise TypeError(f"a sink is called with each event, as in subscribe(print); got {sink!r}")
        self._core.emitter.add_sink(sink)
        return Subscription(self._core, sink)

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<{type(self).__name__} {self.name!r} {self.state.value}: {stats.waiting} wait, {stats.running} run>"
