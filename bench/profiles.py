"""Which functions of ours the parent spends its time in, for no-op jobs on processes."""

from __future__ import annotations

import cProfile
import pstats
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rounds import Effort
from bench.tables import Table
from bench.work import nothing
from steadypool import ProcessPool

ROWS = 12
LEFT_OUT = ("poll", "acquire", "'get'", "posix.read", "lock", "'connect'")
"""What a thread does that has nothing to do, or that starts workers."""

Run = Callable[[ProcessPool, int], object]


def table(effort: Effort) -> Table:
    """The functions that take most, of both ways to hand over jobs."""
    jobs = 3_000 if effort.quick else 20_000
    single = _profile(_each_its_future, jobs)
    chunks = _profile(_in_chunks, jobs)
    names = sorted(set(single) | set(chunks), key=lambda name: -(single.get(name, 0) + chunks.get(name, 0)))
    rows = [(f"`{name}`", _figure(single.get(name)), _figure(chunks.get(name))) for name in names[:ROWS]]
    rows.append(("all of them", _figure(sum(single.values())), _figure(sum(chunks.values()))))
    return Table(
        "profile",
        "Processes: where the parent's time goes, by function",
        ("µs for a job", "each its future", "chunksize=100"),
        rows,
        {"futures": single, "chunks": chunks},
        "By `cProfile`, which makes calls of small functions look dearer than they are; submitter and supervisor "
        "together, what they wait left out. `send` gives up the GIL: its figure holds the wait to get it back.",
    )


def _figure(seconds: float | None) -> str:
    return f"{seconds * 1e6:.2f}" if seconds else "–"


def _each_its_future(pool: ProcessPool, jobs: int) -> None:
    for future in [pool.submit(nothing) for _ in range(jobs)]:
        future.result()


def _in_chunks(pool: ProcessPool, jobs: int) -> None:
    for _ in pool.map_unordered(nothing, range(jobs), chunksize=100):
        pass


def _profile(run: Run, jobs: int) -> dict[str, float]:
    """Seconds for a job in each function itself."""
    profiles = [cProfile.Profile()]

    def begin(*_: Any) -> None:
        profile = cProfile.Profile()
        profiles.append(profile)
        profile.enable()

    threading.setprofile(begin)
    try:
        with ProcessPool(2) as pool:
            run(pool, 1000)
            profiles[0].runcall(run, pool, jobs)
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
    stats: Any = pstats.Stats(*profiles)
    return {_label(*place): row[2] / jobs for place, row in stats.stats.items() if not _left_out(place[2])}


def _left_out(function: str) -> bool:
    return any(word in function for word in LEFT_OUT)


def _label(file: str, _: int, function: str) -> str:
    if file != "~":
        return f"{Path(file).stem}.{function}"
    method = re.match(r"<method '(\w+)' of '([\w.]+)' objects>", function)
    return f"{method[2]}.{method[1]}" if method else function.strip("<>{}")
