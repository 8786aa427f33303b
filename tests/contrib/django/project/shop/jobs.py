"""Tasks in a module that the settings name."""

from __future__ import annotations

from steadypool.contrib.django import task


@task
def elsewhere() -> str:
    return "found"
