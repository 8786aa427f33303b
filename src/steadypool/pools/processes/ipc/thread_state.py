"""What the kernel says of the main thread of another process."""

from __future__ import annotations

from typing import NamedTuple


class ThreadState(NamedTuple):
    """One look at it. Both are ``None`` on systems that do not say, and of a process that has gone."""

    state: str | None
    """``R`` runs or wants to, ``S`` is asleep, ``T`` is stopped, and so on: the letters of proc(5)."""
    on_cpu: float | None
    """Seconds of processor time that it has had."""


def main_thread_of(pid: int) -> ThreadState:
    """What that thread does now."""
    stat, schedule = _read(f"/proc/{pid}/stat"), _read(f"/proc/{pid}/schedstat")
    after_name = stat.rpartition(")")[2].split()
    nanoseconds = schedule.split()
    return ThreadState(
        after_name[0] if after_name else None,
        int(nanoseconds[0]) / 1e9 if nanoseconds else None,
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
