"""What holds on processes alone, on each way of starting them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from steadypool import ProcessPool
from tests.forks import forks_of
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT
from tests.pools.processes.methods import METHODS
from tests.pools.processes.remains import Remains
from tests.pools.processes.warming import warm


@pytest.fixture
def method() -> str:
    """How workers are started, unless a test says otherwise: see `methods`."""
    return "forkserver"


@pytest.fixture
def kind(method: str) -> Kind:
    """The kind of pool that is tested."""
    context = multiprocessing.get_context(method)
    return Kind(f"processes by {method}", ProcessPool, kills=True, options={"mp_context": context})


@pytest.fixture(scope="session")
def _shared_pools() -> Iterator[dict[str, Any]]:
    """They also warm what is kept for ever: the forkserver and resource tracker of `multiprocessing`, and `Forks`."""
    forks_of(os.getpid())
    pools = {method: warm(ProcessPool(2, multiprocessing.get_context(method))) for method in METHODS}
    yield pools
    for pool in pools.values():
        assert pool.drain(WAIT).ok


@pytest.fixture(scope="session")
def _own_temporary_folder(_shared_pools: dict[str, Any]) -> Iterator[None]:
    """So that nobody else's temporary files are counted. A short name: Unix sockets live there."""
    with tempfile.TemporaryDirectory(prefix="p-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(_own_temporary_folder: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test: no process, no zombie, no descriptor, no shared memory, no temporary file."""
    if "tmp_path" in request.fixturenames:
        request.getfixturevalue("tmp_path")
    before = Remains.now()
    yield
    found, until = Remains.now(), monotonic() + WAIT
    while found.has_more_than(before) and monotonic() < until:  # what stays for a moment has not come to stay
        gc.collect()
        found = Remains.now()
    found.assert_same_as(before)


@pytest.fixture
def shared_pool(method: str, _shared_pools: dict[str, Any]) -> Any:
    """A pool of two workers that serves many tests: for those that hurt no worker."""
    return _shared_pools[method]


@pytest.fixture
def warm_pool(make_pool: Callable[..., Any]) -> Any:
    """A pool of two workers that have started."""
    return warm(make_pool(2))
