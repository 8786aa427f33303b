"""What the figures were measured on, and whether it was quiet."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

BUSY_SHARE = 0.1
"""A machine whose processors were busier than this before the run is called noisy."""
PEERS = (
    "Pebble",
    "loky",
    "deadpool-executor",
    "aiojobs",
    "aiometer",
    "numpy",
    "prometheus_client",
    "opentelemetry-sdk",
)


def describe(busy_before: float) -> dict[str, Any]:
    """The machine as plain data."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "steadypool": version("steadypool"),
        "peers": {name: v for name in PEERS if (v := _version(name))},
        "busy_before": round(busy_before, 3),
        "noisy": busy_before > BUSY_SHARE,
    }


def busy_share(seconds: float = 1.0) -> float:
    """How busy the processors are with other things, from 0 to 1."""
    return float(psutil.cpu_percent(seconds)) / 100


def sentence(machine: dict[str, Any], families: list[str], quick: bool) -> str:
    """The machine in words, and the run."""
    noise = (
        f"**The machine was noisy**: other programs used {machine['busy_before']:.0%} of it before the run began."
        if machine["noisy"]
        else f"The machine was quiet: {machine['busy_before']:.0%} of it was in use before the run began."
    )
    peers = ", ".join(f"{name} {number}" for name, number in machine["peers"].items())
    return (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, {machine['system']}, "
        f"{machine['python']}; Steadypool {machine['steadypool']}, {peers}. "
        f"Measured in one {'`--quick` ' if quick else ''}run: {', '.join(families)}. {noise}"
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or sys.platform


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
