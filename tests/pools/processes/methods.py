"""The ways of starting processes that tests run on.

The main tests run on all of them, and so do those that share their workers with other tests. What depends on whose
child a worker is, such as the way its end is noticed, runs on two. Details that have nothing to do with how a worker
was started are tested on the default alone: a process that is spawned takes a while.
"""

from __future__ import annotations

import pytest

METHODS = ("forkserver", "spawn", "fork")

on_every_method = pytest.mark.parametrize("method", METHODS)
"""Takes the place of the fixture ``method``."""

on_each_parent = pytest.mark.parametrize("method", ["forkserver", "fork"])
"""The same, with workers that are children of the forkserver, and with children of this process."""
