"""Whether the kernel killed a process of this cgroup for want of memory (Linux)."""

from __future__ import annotations

from pathlib import Path


def oom_kills() -> int | None:
    """How often the kernel has done so in this cgroup so far; ``None`` where that cannot be read."""
    for path in _candidates():
        try:
            rows = dict(line.split() for line in path.read_text().splitlines() if len(line.split()) == 2)
            return int(rows["oom_kill"])
        except (OSError, KeyError, ValueError):
            continue
    return None


def _candidates() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    paths = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            paths.append(root / group.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            paths.append(root / "memory" / group.lstrip("/") / "memory.oom_control")
    return [*paths, root / "memory.events"]
