"""Limits and turns in a store: which jobs a gate holds back, and which job is next.

Theory of operation
-------------------
A **gate** is one limit for one key (``stripe`` for all; ``sync`` for tenant 42). A job that has to pass gates, or that
has a lane of its own, is put into ``gated`` instead of ``ready``: an available job, which only the claims of lanes look
at. Its place there is the names of its gates, its **lane** (the keys of these gates and the lane that its task or call
names), its priority, its number. Jobs that have neither are where they were, and are claimed as they were.

* **Who runs is a row.** A claim adds a row to ``holders`` for each gate of a job. Whatever ends the claim deletes it in
  the same transaction: a settlement, a return, a sweep. So a slot is held exactly as long as the fenced lease, and
  nothing could drift, run out or be released twice. What a worker that was cut off still runs is not counted once its
  lease is over, as with any lease.
* **Starts are one timestamp** for each gate (``gate_states``), by `rules.limits`; claims alone write it. A claim that
  is given back gives its start back: SQLite changes the timestamp, PostgreSQL adds a row that the next claim takes in.
* **Claims take turns.** A claim goes from lane to lane behind the one where this engine object has stopped, and takes
  one job of each; only once it has seen all lanes does it take more. It counts a gate while no other claim can: SQLite
  has one writer, and in PostgreSQL it locks the gate until it commits, and passes over a gate that another has locked.
* **Putting only inserts.** A transaction of the user's may stay open for minutes with jobs in any lane: it holds up
  neither claims nor other puts.
* **Nothing is polled.** A gate that is closed by its rate says when it opens; one that is full opens when a job ends,
  and the call that writes this down wakes other workers, unless it has taken as many jobs itself.

What holds for a gate is read at each claim from ``limits``: what the code says, then what was set by hand for the
limit, then by hand for the key (`rules.limits.merged`). A gate without a row of the code's is open.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steadypool.model.clock import monotonic

SEPARATOR = "\x1f"
"""Between names, and between keys; it is in neither."""
LANES_AT_ONCE = 100
"""Lanes that one claim looks at: some milliseconds' work. The next goes on behind them."""
GATE_BUSY = 0.02
"""Seconds until the next look, when another claim has a gate, or lanes are left."""
LOOK_EVERY = 0.2
"""Seconds between two looks at lanes of a worker that has found nothing there, and others elsewhere."""
TURNED_AWAY = "limit %s was reached"
"""`JobRecord.reason` of a job that was not to wait (``over="discard"``)."""
REPLACED = "limit %s was reached, and a later job took its place"
"""The same for ``over="replace"``."""


class Turn(NamedTuple):
    """Where a job waits for its turn."""

    gates: str
    """The names of its limits, in order."""
    lane: str
    """The keys of these, in the same order, and last the lane that the task or the call names, or an empty text."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its limits."""
        return tuple(self.gates.split(SEPARATOR)) if self.gates else ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Its gates: name and key of each."""
        return tuple(zip(self.names, self.lane.split(SEPARATOR), strict=False))

    @property
    def own_lane(self) -> str:
        """The lane that the task or the call names, or an empty text."""
        return self.lane.rpartition(SEPARATOR)[2]


def turn_of(gates: Iterable[tuple[str, str]], lane: str) -> Turn | None:
    """Where a job waits that has to pass these; ``None`` for one that has no gate and no lane."""
    names, keys = [name for name, _ in gates], [key for _, key in gates]
    if not names and not lane:
        return None
    return Turn(SEPARATOR.join(names), SEPARATOR.join(text.replace(SEPARATOR, "\\x1f") for text in (*keys, lane)))


class Turns:
    """Whose turn it is, as far as one engine object goes. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: dict[str, str] = {}
        """Of each queue and set of gates, the lane behind which to look next."""
        self._is_gated = False
        self._look_at = 0.0
        self.count = 0
        """Of looks."""

    def looks(self, freed: int) -> bool:
        """Whether a claim looks at lanes: there are jobs, and the latest look was not in vain a moment ago.

        It does in any case if it frees places by what it settles.
        """
        return freed > 0 or (self._is_gated and monotonic() >= self._look_at)

    @property
    def until_look(self) -> float | None:
        """Seconds until the next look; ``None`` if there is nothing to look at."""
        return max(0.0, self._look_at - monotonic()) if self._is_gated else None

    def next_count(self) -> int:
        """Counts looks: of every second one, lanes come first."""
        with self._lock:
            self.count += 1
            return self.count

    def stops(self) -> dict[str, str]:
        """Of each queue and set of gates, the lane at which the last look has stopped."""
        with self._lock:
            return dict(self._stops)

    def found(self, is_gated: bool) -> None:
        """Whether there are jobs in lanes."""
        self._is_gated = is_gated

    def looked(self, taken: int, others: int, stops: Mapping[str, str]) -> None:
        """A look has taken so many, and stopped there; beside it the claim has taken so many others."""
        with self._lock:
            if len(self._stops) > LANES_AT_ONCE:
                self._stops.clear()
            self._stops.update(stops)
        self._look_at = monotonic() + LOOK_EVERY if others and not taken else 0.0


def set_of(queue: str, gates: str) -> str:
    """The name of a set of gates in a queue."""
    return f"{queue}{SEPARATOR}{gates}"


def earliest(*seconds: float | None) -> float | None:
    """The shortest of these times; ``None`` is none."""
    return min((one for one in seconds if one is not None), default=None)
