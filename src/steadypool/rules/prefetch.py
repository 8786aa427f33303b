"""How many jobs a worker process holds, and how many items of a map travel together in one packet.

* `depth` and `refill`: how many jobs a worker holds, the one it runs included. `pools.processes.pump` goes by them.
* `by_themselves`: how many items of a map are to gather, if its caller gives no ``chunksize``. `together`: how many of
  those that have gathered fit one packet. `pools.processes.chunk_intake` asks for both.

Both follow from measured run times (`moving_average`), which `pools.processes.pace` keeps.
"""

from __future__ import annotations

WORTH = 0.001
"""Seconds of work that may wait inside a worker: enough to hide the way there, too little to keep a job waiting."""
ONE_BEHIND = 0.003
"""Seconds up to which a job may have one waiting behind it: the way to the worker and back is worth some of that."""
MOST = 64
"""More packets than this do not fit a socket's buffer."""
WEIGHT = 0.1
"""How much the latest run counts in the moving average."""
TOGETHER_SECONDS = 0.01
"""Work in one packet of a map."""
SHORT = 0.001
"""Seconds up to which items of a map travel together on their own."""
BY_THEMSELVES_SECONDS = 0.002
"""Work in one packet then."""
PACKETS_AHEAD = 3
"""So many packets for each worker are to fit the window of a map, or workers would wait for each other's results."""
TOGETHER_BYTES = 88 * 1024
"""Bytes of arguments of different calls in one packet."""
CHUNK_BYTES = 1 << 20
"""Bytes of arguments of a map in one packet: what does not fit that lies in memory beside it."""
TOGETHER_MOST = 1000


def depth(mean_seconds: float | None) -> int:
    """Jobs to hand to a worker, if jobs take *mean_seconds* on average (``None``: not known yet)."""
    if mean_seconds is None:
        return 1  # it may be long, and what lies behind it would not count as waiting
    if mean_seconds * MOST <= WORTH:
        return MOST
    least = 2 if mean_seconds <= ONE_BEHIND else 1
    return max(least, min(MOST, 1 + int(WORTH / mean_seconds)))


def refill(depth: int) -> int:
    """A worker is given more once it holds no more than this: many at a time, which can travel together.

    A quarter of a millisecond's work, or the job that it runs, is enough to do until they are there.
    """
    return min(depth - 1, max(1, depth // 4))


def together(wanted: int, mean_seconds: float | None, mean_bytes: float | None) -> int:
    """Items of a map to put into one packet, if *wanted* are there and items are like this on average."""
    most = float(min(wanted, TOGETHER_MOST))
    if mean_seconds:
        most = min(most, TOGETHER_SECONDS / mean_seconds)
    if mean_bytes:
        most = min(most, CHUNK_BYTES / mean_bytes)
    packets = -(-wanted // max(1, int(most)))
    return -(-wanted // packets)  # as many in each: four where three fit are two and two


def by_themselves(mean_seconds: float | None, window: int, workers: int) -> int:
    """Items of a map to put into one packet if the caller does not say, and items take *mean_seconds* on average."""
    if mean_seconds is None or mean_seconds > SHORT:
        return 1
    most = float(min(TOGETHER_MOST, window // (PACKETS_AHEAD * workers)))
    if mean_seconds > 0:
        most = min(most, BY_THEMSELVES_SECONDS / mean_seconds)
    return max(1, int(most))


def moving_average(mean: float | None, seconds: float) -> float:
    """The average run time after one more run. A long run counts at once: it is what others would wait for."""
    if mean is None or seconds > 10 * mean + WORTH:
        return seconds
    return mean + WEIGHT * (seconds - mean)
