"""One case of ``python -m bench.compare``, in an interpreter of its own.

python -m bench.compare_case poison PEER POISON     says on stdout what becomes of each job
python -m bench.compare_case busy PEER FOLDER       has two jobs run and four wait, until a signal comes
python -m bench.compare_case idle PEER FOLDER       has two workers rest, until a signal comes
python -m bench.compare_case payload PEER KIND WAY  says how many milliseconds an array or a frame takes
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from bench import compare_jobs
from bench.compare_peers import PEERS, Opened

DRAINING = " with drain_on_signal"
"""Added to our own name: the program uses what we recommend for services."""
NAP = 15.0
"""Seconds that a job of the signals table runs."""
WARM_UP, CALLS = 5, 11
"""Calls of the table of payloads: of the first, some start a worker or make what is sent back."""


def say(*words: str) -> None:
    """Say it at once, in one write: this interpreter may be killed any time, and several threads say something."""
    sys.stdout.write("\t".join(words) + "\n")
    sys.stdout.flush()


def poison(name: str, poison: str) -> None:
    """Have a job run, then the poison, then another job, then close the pool."""
    opened = PEERS[name].open()
    tellers = [tell("sibling", opened, compare_jobs.sibling)]
    time.sleep(0.5)
    tellers.append(tell("poison", opened, *compare_jobs.POISONS[poison]()))
    time.sleep(0.5)
    tellers.append(tell("later", opened, compare_jobs.later))
    for teller in tellers:
        teller.join()
    opened.close()
    say("closed", "ok")


def tell(role: str, opened: Opened, fn: Callable[..., Any], *args: Any) -> threading.Thread:
    """Submit a job, and have a thread say how it ended."""
    handles: list[Any] = []
    failure: BaseException | None = None
    try:
        handles.append(opened.submit(fn, *args))
    except BaseException as error:
        failure = error

    def wait() -> None:
        error = failure
        for handle in handles:
            try:
                opened.result(handle)
            except BaseException as raised:
                error = raised
        say(role, "ok" if error is None else type(error).__name__)

    teller = threading.Thread(target=wait, daemon=True)
    teller.start()
    return teller


def busy(name: str, folder: str) -> None:
    """As a program does that uses the pool in a ``with`` block and takes its results."""
    drains = name.endswith(DRAINING)
    opened = PEERS[name.removesuffix(DRAINING)].open()
    with opened.pool, opened.pool.drain_on_signal(timeout=1) if drains else nullcontext():
        handles = [opened.submit(compare_jobs.nap, folder, NAP) for _ in range(6)]
        wait_for_files(folder, 2)
        say("ready")
        for handle in handles:
            opened.result(handle)


def idle(name: str, folder: str) -> None:
    """Both workers have run a job."""
    opened = PEERS[name].open()
    for handle in [opened.submit(compare_jobs.nap, folder, 0.3) for _ in range(2)]:
        opened.result(handle)
    say("ready")
    time.sleep(60)


def payload(name: str, kind: str, way: str) -> None:
    """Send an array or a frame to a worker, or fetch one, some times, and look at all of it where it arrives."""
    opened = PEERS[name].open()
    value = compare_jobs.kept(kind) if way == "argument" else None
    seconds: list[float] = []
    for _ in range(WARM_UP + CALLS):
        began = time.perf_counter()
        if way == "argument":
            opened.result(opened.submit(compare_jobs.look_at, value))
        else:
            compare_jobs.look_at(opened.result(opened.submit(compare_jobs.kept, kind)))
        seconds.append(time.perf_counter() - began)
    say("took", f"{median(seconds[WARM_UP:]) * 1000:.1f}")
    opened.close()


def wait_for_files(folder: str, count: int) -> None:
    """Wait until that many jobs have begun."""
    while len(list(Path(folder).iterdir())) < count:
        time.sleep(0.02)


if __name__ == "__main__":
    {"poison": poison, "busy": busy, "idle": idle, "payload": payload}[sys.argv[1]](*sys.argv[2:])
