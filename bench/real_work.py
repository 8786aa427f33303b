"""Real work on all cores, and how near it comes to what they can do with no pool in the way."""

from __future__ import annotations

import io
import os
import statistics
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from PIL import Image

from bench.peers import MP_POOL, OURS, STANDARD, Peer, all_opened
from bench.rounds import Contender, Effort, Samples, measure_costs, ratio, timed
from bench.tables import Table, at_most, costs_compared
from bench.work import compress, hash_block, hash_file, parse_file, resize, seconds_for_all, sum_array

WORKERS = 2
BLOCK = 4096
IDEAL = "the cores alone"
CHUNKED = "{}, chunksize={}"
JOBLIB = "joblib, its own batches"
ROUNDS = 5

Run = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """A function, what it is to be called with, and the best chunksize of those pools that need one."""

    title: str
    fn: Callable[[Any], object]
    inputs: Sequence[object]
    chunksize: int


def tables(effort: Effort) -> Iterator[Table]:
    """Real work without a ``chunksize`` and with a good one, beside the peers at their best."""
    with (
        all_opened((OURS, STANDARD, MP_POOL), WORKERS) as peers,
        tempfile.TemporaryDirectory() as folder,
        joblib.Parallel(n_jobs=WORKERS, backend="loky", return_as="generator") as parallel,
    ):
        for work in _works(Path(folder), effort.quick):
            yield _table(effort, peers, parallel, work)


def _works(folder: Path, quick: bool) -> Iterator[Work]:
    many, sources = 2_000 if quick else 20_000, _standard_library()
    yield Work(f"hash {many:,} files of 4 KB", hash_file, _small_files(folder, many), 100)
    yield Work(f"hash {many:,} blocks of 4 KB", hash_block, [os.urandom(BLOCK) for _ in range(many)], 100)
    yield Work(f"{many:,} sums of small arrays", sum_array, range(many), 200)
    yield Work("compress the standard library", compress, sources[:: 12 if quick else 1], 8)
    yield Work("parse the standard library", parse_file, sources[:: 12 if quick else 2], 4)
    yield Work("make pictures of 90 KB small", resize, _pictures(50 if quick else 300), 4)


def _table(effort: Effort, peers: list[Peer], parallel: joblib.Parallel, work: Work) -> Table:
    ours, standard, mp_pool = peers
    fn, inputs, chunk = work.fn, work.inputs, work.chunksize
    with_chunk = {name: CHUNKED.format(name, chunk) for name in (OURS, STANDARD, MP_POOL)}
    runs: dict[str, Run] = {
        OURS: lambda: _count(ours.pool.map_unordered(fn, inputs)),
        with_chunk[OURS]: lambda: _count(ours.pool.map_unordered(fn, inputs, chunksize=chunk)),
        with_chunk[STANDARD]: lambda: _count(standard.pool.map(fn, inputs, chunksize=chunk)),
        with_chunk[MP_POOL]: lambda: _count(mp_pool.pool.imap_unordered(fn, inputs, chunk)),
        "mp.Pool.map, its own chunks": lambda: _count(mp_pool.pool.map(fn, inputs)),
        JOBLIB: lambda: _count(parallel(joblib.delayed(fn)(item) for item in inputs)),
    }
    contenders = [Contender(IDEAL, lambda n: _ideal(mp_pool, fn, inputs), jobs=1)]
    contenders += [Contender(name, lambda n, run=run: timed(run), jobs=1) for name, run in runs.items()]
    for contender in contenders:
        contender.run(1)  # the files are in the page cache, and everything is imported
    costs = measure_costs(contenders, effort, rounds=min(effort.rounds, ROUNDS))
    best = min((name for name in costs.cpu if name not in (IDEAL, OURS, with_chunk[OURS])), key=_median_of(costs.cpu))
    alone, chunked = (ratio(costs.cpu, name, best) for name in (OURS, with_chunk[OURS]))
    return costs_compared(
        fn.__name__,
        f"Processes: {work.title}",
        costs,
        base=IDEAL,
        unit="ms",
        note="The cores alone: the same work dealt to two processes beforehand, and the mean of what they needed.",
        targets=[
            at_most(f"without a chunksize, at most 1.15 times the processor time of {best}", alone, 1.15),
            at_most(f"with one, at most 1.05 times that of {best}", chunked, 1.05),
        ],
    )


def _median_of(samples: Samples) -> Callable[[str], float]:
    return lambda name: statistics.median(samples[name])


def _ideal(peer: Peer, fn: Callable[[Any], object], inputs: Sequence[object]) -> float:
    """What it takes if nothing but the work is done: all processes at it at the same time, each with its share."""
    shares = [peer.submit(seconds_for_all, fn.__name__, inputs[i::WORKERS]) for i in range(WORKERS)]
    return sum(peer.result(share) for share in shares) / WORKERS


def _count(results: Any) -> int:
    return sum(1 for _ in results)


def _pictures(number: int) -> list[bytes]:
    """JPEGs that differ at their end alone, which no reader looks at."""
    file = io.BytesIO()
    Image.effect_noise((480, 360), 60).convert("RGB").save(file, "JPEG")
    return [file.getvalue() + number.to_bytes(2, "big") for number in range(number)]


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
