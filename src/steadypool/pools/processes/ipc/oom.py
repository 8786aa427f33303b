"""Whether the kernel killed a process of this cgroup for want of memory (Linux)."""

from __future__ import annotations

import os.path


def oom_kills() -> int | None:
    """How often the kernel has done so in this cgroup so far; ``None`` where that cannot be read."""
    for path in _candidates():
        try:
            rows = dict(line.split() for line in _lines(path) if len(line.split()) == 2)
            return int(rows["oom_kill"])
        except (OSError, KeyError, ValueError):
            continue
    return None


def _lines(path: str) -> list[str]:
    with open(path) as file:
        return file.read().splitlines()


def _candidates() -> list[str]:
    root = "/sys/fs/cgroup"
    try:
        lines = _lines("/proc/self/cgroup")
    except OSError:
        return []
    paths = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            paths.append(os.path.join(root, group.lstrip("/"), "memory.events"))
        elif "memory" in controllers.split(","):
            paths.append(os.path.join(root, "memory", group.lstrip("/"), "memory.oom_control"))
    return [*paths, os.path.join(root, "memory.events")]
