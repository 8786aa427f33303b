"""The ways of starting processes that tests run on.

The main tests run on all of them, and so do those that share their workers with other tests. Details that have nothing
to do with how a worker was started are tested on the default alone: a process that is spawned takes a while.
"""

from __future__ import annotations

import pytest

METHODS = ("forkserver", "spawn", "fork")

on_every_method = pytest.mark.parametrize("method", METHODS)
"""Takes the place of the fixture ``method``."""
