"""One look, for scripts and for paper: two snapshots, so that there are rates, and what they say."""

from __future__ import annotations

import select
from typing import Any

import msgspec

from steadypool.cli.exit_codes import UsageError
from steadypool.cli.top.link import Link
from steadypool.cli.top.view import View
from steadypool.model.clock import monotonic
from steadypool.model.monitor_messages import Question
from steadypool.model.snapshots import Snapshot

ANSWER_SECONDS = 10.0


def look_twice(link: Link, view: View, interval: float) -> None:
    """Have the view see the program now, and *interval* seconds later.

    Raises:
        UsageError: the program does not answer, or has ended before it did.
    """
    _look(link, view)
    if _listen(link, view, interval):
        _look(link, view)


def _look(link: Link, view: View) -> None:
    before = view.snapshot
    link.ask(Question("look"))
    until = monotonic() + ANSWER_SECONDS
    while view.snapshot is before:
        if not link.is_open:
            if view.snapshot is not None:
                return  # it has ended meanwhile; what was seen is shown
            raise UsageError("the program has ended")
        if not _hear(link, view, until - monotonic()):
            raise UsageError(f"the program has not answered for {ANSWER_SECONDS:g} s: it is stopped, or very busy")


def _listen(link: Link, view: View, seconds: float) -> bool:
    """Hear what is said in that time; false if the program ends in it."""
    until = monotonic() + seconds
    while link.is_open and (left := until - monotonic()) > 0:
        _hear(link, view, left)
    return link.is_open


def _hear(link: Link, view: View, seconds: float) -> bool:
    """Hear what is said next; false if nothing is, in that time."""
    ready, _, _ = select.select([link], (), (), max(0.0, seconds))
    for said in link.read() if ready else ():
        view.hear(said)
    if not link.is_open:
        view.end()
    return bool(ready)


def as_json(view: View, chosen: str | None) -> bytes:
    """What the view has seen, as one JSON object."""
    snapshot = view.snapshot
    assert isinstance(snapshot, Snapshot)
    pools = [_pool_json(view, number) for number, pool in view.pools.items() if chosen in (None, pool.stats.name)]
    return msgspec.json.encode(
        {
            "version": snapshot.version,
            "pid": snapshot.pid,
            "program": snapshot.program,
            "has_ended": view.has_ended,
            "pools": pools,
        }
    )


def _pool_json(view: View, number: int) -> dict[str, Any]:
    ending = view.endings.get(number)
    rates = view.rates.get(number)
    return {
        **msgspec.to_builtins(view.pools[number]),
        "rates": None if rates is None else msgspec.to_builtins(rates),
        "report": None if ending is None else ending.report,
    }
