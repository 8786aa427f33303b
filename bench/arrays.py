"""A big array as an argument, and as a result."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.peers import LOKY, MP_POOL, OURS, STANDARD, Peer, all_opened
from bench.rounds import Contender, Effort, Samples, measure, ratio, timed
from bench.tables import Table, at_least, in_unit
from bench.work import keep_array, kept_array, touch

SIZE = 64 * 2**20
PEERS = (OURS, STANDARD, MP_POOL, LOKY)
MEMCPY = "one memcpy"


def table(effort: Effort) -> Table:
    """How long it takes, and how many copies that would be."""
    keep_array(SIZE)
    array = kept_array()
    copying = Contender(MEMCPY, _repeat(lambda: touch(array.copy())), jobs=4)
    rounds = 1 if effort.quick else 5
    with all_opened(PEERS, 1) as peers:
        for peer in peers:
            peer.call(kept_array)  # makes the worker's own
        sending = [Contender(p.name, _repeat(partial(p.call, touch, array)), jobs=1) for p in peers]
        fetching = [Contender(p.name, _repeat(partial(_fetch, p)), jobs=1) for p in peers]
        sent = measure([copying, *sending], effort, rounds=rounds)
        fetched = measure([copying, *fetching], effort, rounds=rounds)
    return _table(sent, fetched)


def _fetch(peer: Peer) -> int:
    return touch(peer.call(kept_array))


def _repeat(work: Callable[[], Any]) -> Callable[[int], float]:
    return lambda n: timed(lambda: [work() for _ in range(n)])


def _table(sent: Samples, fetched: Samples) -> Table:
    memcpy = statistics.median(sent[MEMCPY] + fetched[MEMCPY])
    rows = [(MEMCPY, in_unit(memcpy, "ms"), "1.0", in_unit(memcpy, "ms"), "1.0")]
    for name in PEERS:
        taken = [statistics.median(samples[name]) for samples in (sent, fetched)]
        cells = [cell for seconds in taken for cell in (in_unit(seconds, "ms"), f"{seconds / memcpy:.1f}")]
        rows.append((name, *cells))
    columns = ("", "argument, ms", "memcpys", "result, ms", "memcpys")
    note = (
        "A NumPy array of 64 MB goes to a worker, or comes from one, and each of its pages is looked at where it "
        "arrives. The unit is a copy into fresh memory."
    )
    targets = [
        at_least("as an argument, 3 times as fast as ProcessPoolExecutor", ratio(sent, STANDARD, OURS), 3),
        at_least("as a result, 3 times as fast as ProcessPoolExecutor", ratio(fetched, STANDARD, OURS), 3),
    ]
    data = {"argument": sent, "result": fetched}
    return Table("arrays", "Processes: an array of 64 MB", columns, rows, data, note, targets)
