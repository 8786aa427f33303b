"""Real work on all cores, and how near it comes to what they can do with no pool in the way."""

from __future__ import annotations

import os
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.peers import MP_POOL, OURS, STANDARD, Peer, all_opened
from bench.rounds import Contender, Effort, measure, ratio, timed
from bench.tables import Table, at_most, compared
from bench.work import hash_file, parse_file, seconds_for_all

WORKERS = 2
BLOCK = 4096
IDEAL = "the cores alone"
SINGLE = "steadypool, a future each"
ROUNDS = 3

Run = Callable[[], object]


def tables(effort: Effort) -> Iterator[Table]:
    """Hash many small files; parse the standard library."""
    with all_opened((OURS, STANDARD, MP_POOL), WORKERS) as peers, tempfile.TemporaryDirectory() as folder:
        files = _small_files(Path(folder), 2_000 if effort.quick else 20_000)
        yield _table(effort, peers, hash_file, files, f"hash {len(files):,} files of 4 KB", chunksize=100)
        sources = _standard_library()[:: 12 if effort.quick else 1]
        yield _table(effort, peers, parse_file, sources, f"parse {len(sources):,} files of the standard library")


def _table(
    effort: Effort, peers: list[Peer], fn: Callable[[str], Any], inputs: list[str], what: str, *, chunksize: int = 1
) -> Table:
    ours, standard, mp_pool = peers
    runs: dict[str, Run] = {
        OURS: lambda: _count(ours.pool.map_unordered(fn, inputs, chunksize=chunksize)),
        STANDARD: lambda: _count(standard.pool.map(fn, inputs, chunksize=chunksize)),
        MP_POOL: lambda: _count(mp_pool.pool.imap_unordered(fn, inputs, chunksize=chunksize)),
    }
    if chunksize > 1:
        runs[SINGLE] = lambda: [future.result() for future in [ours.submit(fn, item) for item in inputs]]
    contenders = [Contender(IDEAL, lambda n: _ideal(mp_pool, fn, inputs), jobs=1)]
    contenders += [Contender(name, lambda n, run=run: timed(run), jobs=1) for name, run in runs.items()]
    contenders[-1].run(1)  # the files are in the page cache, and everything is imported
    samples = measure(contenders, effort, rounds=min(effort.rounds, ROUNDS))
    return compared(
        fn.__name__,
        f"Processes: {what}",
        samples,
        base=IDEAL,
        unit="ms",
        note=f"`chunksize={chunksize}`. The cores alone: the same work dealt to two processes beforehand, and the "
        "mean of what they needed.",
        targets=[at_most("within 5 % of the cores alone", ratio(samples, OURS, IDEAL), 1.05)],
    )


def _ideal(peer: Peer, fn: Callable[[str], Any], inputs: list[str]) -> float:
    """What it takes if nothing but the work is done: all processes at it at the same time, each with its share."""
    shares = [peer.submit(seconds_for_all, fn.__name__, inputs[i::WORKERS]) for i in range(WORKERS)]
    return sum(peer.result(share) for share in shares) / WORKERS


def _count(results: Any) -> int:
    return sum(1 for _ in results)


def _small_files(folder: Path, number: int) -> list[str]:
    paths = []
    for i in range(number):
        path = folder / str(i)
        path.write_bytes(os.urandom(BLOCK))
        paths.append(str(path))
    return paths


def _standard_library() -> list[str]:
    """The biggest files first, so that none of them is left for the end."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "lib2to3", "idlelib"}
    sources = [p for p in root.rglob("*.py") if not left_out & set(p.relative_to(root).parts)]
    return [str(path) for path in sorted(sources, key=lambda path: -path.stat().st_size)]
