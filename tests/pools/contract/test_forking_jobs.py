"""A job that forks: the child ends where the job's code ends, and the parent's pool knows nothing of it."""

from __future__ import annotations

import os

import pytest

from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("raise", 1), ("return", 0)])
def test_the_child_of_a_job_ends_with_the_job_s_code(kind: Kind, how: str, code: int) -> None:
    with kind.make(2) as pool:
        assert pool.submit(jobs.fork_and, how).result(WAIT) == code
        assert pool.submit(jobs.fork_and, how).result(WAIT) == code
    stats = pool.stats()
    assert (stats.accepted, stats.succeeded) == (2, 2)
