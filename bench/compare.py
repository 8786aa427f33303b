"""What breaks whom: ``python -m bench.compare [--out FILE] [--peer NAME ...]``.

Runs the poison matrix, the signals table and the payloads against every pool that is installed, each case in an
interpreter of its own with a time limit, and writes the tables. Nothing in them is typed in.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.compare_case import CALLS, DRAINING
from bench.compare_jobs import CONTROLS, PAYLOAD_BYTES, PLAIN_FAILURE, POISONS
from bench.compare_peers import PEERS
from bench.machine import busy_share, describe
from steadypool import ThreadPool

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 8.0
"""Seconds for one case. A real user waits for ever."""
SLOW = 4.0
"""Seconds from which a case that ends well says how long it took: it takes 2 where nothing goes wrong."""
AFTERWARDS = 3.0
"""Seconds after a parent's death at which its processes are counted."""
MOST_REPEATS = 3
"""How often the column of a pool is run again whose control rows show that the machine was busy with other things."""
RAW = ("SystemExit", "KeyboardInterrupt")


def main() -> None:
    """Try everything, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="What breaks whom.")
    parser.add_argument("--out", default=str(ROOT / "docs" / "comparison.md"), metavar="FILE")
    parser.add_argument("--peer", action="append", choices=list(PEERS), help="only these; may be given again")
    arguments = parser.parse_args()
    names = arguments.peer or list(PEERS)
    machine = describe(busy_share())
    poisoned = Table(names, list(POISONS), run_poison)
    columns = [name + end for name in names for end in (["", DRAINING] if name == "steadypool" else [""])]
    signalled = Table(columns, list(SIGNALS), run_signal)
    with ThreadPool(max(1, (os.cpu_count() or 1) // 2 + 1)) as pool:
        poisoned.fill(pool, names)
        for _ in range(MOST_REPEATS):
            poisoned.fill(pool, poisoned.disturbed())
        signalled.fill(pool, columns)
    paid = Table(names, list(PAYLOADS), run_payload)
    with ThreadPool(1) as pool:  # one at a time: these are measured
        paid.fill(pool, names)
    Path(arguments.out).write_text(text(machine, names, poisoned, signalled, paid), encoding="utf-8")
    print(f"written to {arguments.out}")


@dataclass
class Table:
    """What was found, a row for each case and a column for each pool."""

    columns: list[str]
    rows: list[str]
    run: Callable[[str, str], str]
    """What to do for a column and a row."""

    found: dict[tuple[str, str], str] = field(default_factory=dict)
    """By column and row."""

    def fill(self, pool: ThreadPool, columns: list[str]) -> None:
        """Run every case of these columns."""
        cases = [(column, row) for row in self.rows for column in columns]
        for case, found in zip(cases, pool.map(lambda case: self.run(*case), cases), strict=True):
            self.found[case] = found
            print(f"{case[1]:40} {case[0]:40} {found}", flush=True)

    def disturbed(self) -> list[str]:
        """The columns that the machine was too busy for: a control row hung, or took long."""
        return [name for name in self.columns if any(self._took_long(name, row) for row in CONTROLS)]

    def _took_long(self, column: str, row: str) -> bool:
        found = self.found[column, row]
        return found.endswith(" s") or "hang" in found or "no end" in found

    def to_markdown(self) -> str:
        """As Markdown."""
        lines = [["", *(f"**{name}**" if name.startswith("steadypool") else name for name in self.columns)]]
        lines += [[row, *(self.found[column, row] for column in self.columns)] for row in self.rows]
        lines.insert(1, ["---"] * len(lines[0]))
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


# -- one case


def run_poison(name: str, poison: str) -> str:
    """What the poison did to that pool."""
    began = time.monotonic()
    process = start("poison", name, poison)
    try:
        out, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        kill_family(process)
        out, _ = process.communicate()
    return verdict(dict(line.split("\t") for line in out.splitlines() if "\t" in line), time.monotonic() - began)


def verdict(said: dict[str, str], seconds: float) -> str:
    """In a word or two, from how each job ended; one that is missing had not ended at the limit."""
    others = [said.get("sibling"), said.get("later")]
    if None in others:
        return "**hang, all**" if others == [None, None] else "**hang, others**"
    if others != ["ok", "ok"]:
        return "**pool**" if "poison" in said else "**pool**, hang"
    if "poison" not in said:
        return "**hang**"
    if "closed" not in said:
        return "**no end**"
    how = "returned" if said["poison"] == "ok" else f"raw {said['poison']}" if said["poison"] in RAW else "ok"
    return f"{how}, {seconds:.0f} s" if seconds >= SLOW else how


def exit_after_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Seconds until the program has ended."""
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        return f"**> {LIMIT:.0f} s**"
    return f"{time.monotonic() - began:.1f} s"


def left_after(number: int) -> Callable[[subprocess.Popen[str]], str]:
    """How many of its processes live some time after the program got the signal."""

    def count(process: subprocess.Popen[str]) -> str:
        family = family_of(process)
        process.send_signal(number)
        time.sleep(AFTERWARDS)
        left = [member for member in family if is_alive(member)]
        end_all(left)
        return f"**{len(left)}**" if left else "0"

    return count


SIGNALS: dict[str, tuple[str, Callable[[subprocess.Popen[str]], str]]] = {
    "exit after Ctrl-C": ("busy", exit_after_ctrl_c),
    f"processes left {AFTERWARDS:.0f} s after SIGTERM of the program, at work": ("busy", left_after(signal.SIGTERM)),
    f"processes left {AFTERWARDS:.0f} s after SIGKILL of the program, idle": ("idle", left_after(signal.SIGKILL)),
}


def run_signal(name: str, row: str) -> str:
    """What the signal did to a program that uses that pool."""
    state, look = SIGNALS[row]
    if state == "idle" and name.endswith(DRAINING):
        return "–"
    with tempfile.TemporaryDirectory() as folder:
        process = start(state, name, folder)
        family: Iterable[psutil.Process] = ()
        try:
            if not is_ready(process):
                return "did not start"
            family = family_of(process)
            return look(process)
        finally:
            kill_family(process)
            end_all(family)
            process.communicate()


PAYLOADS = {
    "NumPy array, as an argument": ("array", "argument"),
    "NumPy array, as a result": ("array", "result"),
    "pandas frame, as an argument": ("frame", "argument"),
    "pandas frame, as a result": ("frame", "result"),
}


def run_payload(name: str, row: str) -> str:
    """How long that takes in that pool."""
    process = start("payload", name, *PAYLOADS[row])
    try:
        out, _ = process.communicate(timeout=2 * LIMIT)
    except subprocess.TimeoutExpired:
        return "**hang**"
    finally:
        kill_family(process)
    said = dict(line.split("\t") for line in out.splitlines() if "\t" in line)
    return f"{said['took']} ms" if "took" in said else "failed"


def is_ready(process: subprocess.Popen[str]) -> bool:
    """Wait for the program to say so."""
    assert process.stdout is not None
    return any(line.startswith("ready") for line in iter(process.stdout.readline, ""))


# -- processes


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a case, as the leader of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.compare_case", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def family_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The program and all its processes."""
    try:
        program = psutil.Process(process.pid)
        return [program, *program.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def is_alive(process: psutil.Process) -> bool:
    """Whether it is still the same one, and no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_family(process: subprocess.Popen[str]) -> None:
    """End a case with all that belongs to it."""
    end_all(family_of(process))


def end_all(processes: Iterable[psutil.Process]) -> None:
    """Kill them."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


# -- the file


def text(machine: dict[str, Any], names: list[str], poisoned: Table, signalled: Table, paid: Table) -> str:
    """The whole document."""
    versions = ", ".join(f"{name} ({PEERS[name].version()})" for name in names)
    where = f"{machine['cores']} cores, {machine['system']}, {machine['python']}"
    conditions = (
        f"Pools as installed from the registry: {versions}. Run on {where}. Each case has an interpreter of its own "
        f"and {LIMIT:.0f} seconds. Workers are started by `forkserver` where a pool lets its user choose."
    )
    return TEMPLATE.format(
        conditions=textwrap.fill(conditions, 120, break_on_hyphens=False),
        limit=f"{LIMIT:.0f}",
        repeats=MOST_REPEATS,
        slow=f"{SLOW:.0f}",
        poisoned=poisoned.to_markdown(),
        joblib=textwrap.fill(about_joblib(poisoned), 120),
        signalled=signalled.to_markdown(),
        size=PAYLOAD_BYTES >> 20,
        calls=CALLS,
        paid=paid.to_markdown(),
    )


def about_joblib(poisoned: Table) -> str:
    """What its column needs to be understood."""
    words = ["joblib has calls, not jobs: each job is a call of its own from a thread, all on joblib's shared workers."]
    if poisoned.found.get(("joblib", PLAIN_FAILURE)) == "**pool**":
        words += [
            "A call that fails ends those workers, and the other calls with them: this explains its row",
            f'"{PLAIN_FAILURE}".',
        ]
    return " ".join(words)


TEMPLATE = """# Comparison

What breaks whom. `make compare` wrote this file: it runs every case, and nothing below was typed in.

{conditions}

## One poisoned job

Two workers. A job of 1.5 s runs, then comes the poison, then a later job, then the pool is closed.
A pool whose rows without poison show that the machine was busy with other things is run again, {repeats} times at most.

- **ok**: the poisoned job failed with an exception, the others succeeded, the pool closed. With seconds: it took more
  than {slow} s, where about 2 are needed.
- **raw**: as ok, but `result()` raises the job's own `SystemExit` or `KeyboardInterrupt`, which ends a caller that does
  not expect it.
- **returned**: the poisoned job counts as a success.
- **pool**: other jobs failed with it.
- **hang**: no answer for the poisoned job within {limit} s; **hang, others**: for others either; **hang, all**: for
  any job; **no end**: the pool did not close.

{poisoned}

{joblib}

## Signals, and a parent that dies

Two jobs of 15 s run in two workers, four more wait, and the program waits for the results in the pool's `with` block.
Ctrl-C is sent to the whole process group, as a terminal does; SIGTERM and SIGKILL to the program alone.
A `with` block of ours waits for what runs, as the standard library's does. `drain_on_signal(timeout=1)` inside it is
what we recommend for services; it has its own column. For it, SIGTERM is a request to drain.

{signalled}

## What a payload costs

{size} MB go to a worker as an argument, or come from one as a result, and all of it is looked at where it arrives. One
call at a time; the median of {calls}. The frame has four columns of numbers. joblib writes an array to a file once and
maps that in its workers, so it does not send again what it has sent; ours sends it anew with each call.

{paid}
"""

if __name__ == "__main__":
    main()
