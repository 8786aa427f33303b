"""What an idle pool costs, seen from outside: ``python -m bench.idle NAME`` is the program that has one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.rounds import Effort
from bench.tables import Table, at_most
from bench.work import nothing

NAMES = ("steadypool", "ProcessPoolExecutor", "mp.Pool", "pebble", "loky", "deadpool")
SETTLE = 0.5
"""Seconds after its last job from which a pool counts as idle."""


class _Used(NamedTuple):
    seconds: float
    switches: int


def table(effort: Effort) -> Table:
    """Processor time and wake-ups of the whole program: the parent and everything it has started."""
    seconds = 1.0 if effort.quick else 3.0
    names = NAMES[:1] if effort.quick else NAMES
    data = {name: _watch(name, seconds) for name in names}
    rows = [(name, f"{f['cpu'] * 1e6:.0f}", f"{f['wakeups']:.1f}") for name, f in data.items()]
    return Table(
        "idle",
        "Processes: an idle pool of two workers",
        ("", "µs of processor time in a second", "wake-ups in a second"),
        rows,
        data,
        f"Over {seconds:g} seconds, as the kernel counts them, of the parent and everything that it has started.",
        [at_most("no wake-ups", data["steadypool"]["wakeups"], 0.0)],
    )


def _watch(name: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.idle", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(SETTLE)
        before = _used(program.pid)
        time.sleep(seconds)
        after = _used(program.pid)
        program.communicate(b"\n", timeout=30)
    cpu, wakeups = after.seconds - before.seconds, after.switches - before.switches
    return {"cpu": cpu / seconds, "wakeups": wakeups / seconds}


def _used(pid: int) -> _Used:
    parent = psutil.Process(pid)
    threads = [t for p in (parent, *parent.children(recursive=True)) for t in Path(f"/proc/{p.pid}/task").iterdir()]
    return _Used(sum(map(_seconds, threads)), sum(map(_switches, threads)))


def _seconds(thread: Path) -> float:
    return int((thread / "schedstat").read_text().split()[0]) / 1e9


def _switches(thread: Path) -> int:
    lines = (thread / "status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


@contextmanager
def _program(open_pool: Callable[..., Any], name: str) -> Any:
    with open_pool(name, 2) as peer:
        for future in [peer.submit(nothing) for _ in range(100)]:
            peer.result(future)
        yield


if __name__ == "__main__":
    from bench.peers import opened

    with _program(opened, sys.argv[1]):
        print("idle", flush=True)
        sys.stdin.readline()
