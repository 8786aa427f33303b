"""The ways of starting processes that tests run on."""

from __future__ import annotations

import pytest

on_fork_too = pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
"""For the main tests. It takes the place of the fixture ``method``, which leaves fork out."""
