"""The pools of programs on this machine that let themselves be watched."""

from __future__ import annotations

from steadypool.contrib.web import programs
from steadypool.contrib.web.look import Look, Page


def page(look: Look) -> Page:
    """The page."""
    found = look.reader.cache.get("programs", programs.snapshots, 2.0)
    return Page("pools", "Pools", {"programs": found})
