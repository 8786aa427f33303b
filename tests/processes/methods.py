"""The ways of starting processes that tests run on."""

from __future__ import annotations

import pytest

METHODS = ("forkserver", "spawn", "fork")

on_fork_too = pytest.mark.parametrize("method", METHODS)
"""For the main tests. It takes the place of the fixture ``method``, which leaves fork out."""
