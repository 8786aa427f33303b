"""The helper process of a heartbeat: renews a lease for as long as its parent lives and is not stopped.

On its input: one line with the config, then one line with a worker's number whenever that changes. On its output: a
line for each renewal. It leaves when its input ends, that is with its parent, however that ends; the lease then runs
out.
"""

from __future__ import annotations

import json
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO

from steadypool.model.clock import monotonic

NO_WORKER = 0
"""Instead of a worker's number: nothing is to be renewed any more."""
RENEWALS = 3
"""Renewals in the time of one lease, at least: two may fail before it is lost."""
LONGEST_PAUSE = 2.0
"""Seconds between two renewals at most, so that a worker with a long lease notices, too, when no worker can renew."""


def renewal_interval(lease: float) -> float:
    """Seconds between two renewals of a lease that holds for so long."""
    return min(LONGEST_PAUSE, lease / RENEWALS)


@dataclass(frozen=True, slots=True)
class HelperConfig:
    """What the helper is to do. It travels through its input: an address may hold a password."""

    url: str
    seconds: float
    parent: int
    mark: str = ""
    """Of the programs that jobs of the parent start, if they are to end with it; see `durable.worker.programs`."""
    session: int = 0
    """That of the parent."""


def write_config(end: IO[bytes] | None, config: HelperConfig) -> None:
    """The parent's side."""
    assert end is not None
    end.write(json.dumps(asdict(config)).encode() + b"\n")
    end.flush()


def read_renewals(end: IO[bytes]) -> Iterator[tuple[int, bool]]:
    """The parent's side: which worker was renewed, and whether it still was registered."""
    for line in end:
        alive, _, worker = line.partition(b" ")
        if worker.strip().isdigit():
            yield int(worker), alive == b"alive"


def main() -> None:
    """The life of the helper."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # systemd signals all processes; this one leaves with its parent
    # Without buffers: what is read too far would not be seen by `select`.
    with open(0, "rb", buffering=0, closefd=False) as end, open(1, "wb", buffering=0, closefd=False) as news:
        try:
            _renew_until_the_end(HelperConfig(**json.loads(end.readline())), end, news)
        except BrokenPipeError:
            return


def _renew_until_the_end(config: HelperConfig, end: IO[bytes], news: IO[bytes]) -> None:
    from steadypool.durable.engine.errors import EngineError, SchemaMismatch
    from steadypool.durable.engine.open import open_engine

    engine = open_engine(config.url)
    engine.timeout = config.seconds / RENEWALS
    line = b""
    worker: int | None = None
    due = monotonic()
    while True:
        if select.select([end], [], [], max(0.0, due - monotonic()))[0]:
            read = end.read(4096)
            if not read:
                _end_programs(config)
                engine.close()
                return
            *lines, line = (line + read).split(b"\n")
            worker = int(lines[-1]) if lines else worker
            due = monotonic()
            continue
        if worker and not _is_stopped(config.parent):
            try:
                alive = engine.renew(worker, config.seconds)
                news.write(f"{'alive' if alive else 'lost'} {worker}\n".encode())
            except (EngineError, SchemaMismatch):
                pass  # the next one tries again
        due = monotonic() + renewal_interval(config.seconds)


def _end_programs(config: HelperConfig) -> None:
    """The parent has gone without a word: it was killed."""
    if not config.mark:
        return
    from steadypool.durable.worker.programs import end_programs
    from steadypool.model.printable import printable

    for program in end_programs(config.mark, config.session).ended:
        with suppress(OSError):
            print(f"steadypool: the worker is gone; ended {printable(program)}", file=sys.stderr, flush=True)


def _is_stopped(pid: int) -> bool:
    """Whether the process was stopped by a signal or a debugger. One that is busy, even with the GIL held, is not."""
    import psutil

    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return True  # it has gone: our input ends any moment


if __name__ == "__main__":
    main()
