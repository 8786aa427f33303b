"""What holds on processes alone, on each way of starting them."""

from __future__ import annotations

import gc
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steadypool import ProcessPool
from tests.contract import jobs
from tests.contract.kinds import Kind
from tests.processes.remains import Remains
from tests.processes.warming import warm


@pytest.fixture(params=["forkserver", "spawn"])
def method(request: pytest.FixtureRequest) -> Any:
    """How workers are started. The main tests run on fork too: see `methods`."""
    return request.param


@pytest.fixture
def kind(method: str) -> Kind:
    """The kind of pool that is tested."""
    context = multiprocessing.get_context(method)
    return Kind(f"processes by {method}", ProcessPool, kills=True, options={"mp_context": context})


@pytest.fixture(scope="session")
def _multiprocessing_is_warm() -> None:
    """`multiprocessing` keeps its forkserver and its resource tracker, with their descriptors, for ever."""
    for method in ("forkserver", "spawn"):
        with ProcessPool(1, multiprocessing.get_context(method)) as pool:
            pool.submit(jobs.nothing).result()


@pytest.fixture(scope="session")
def _own_temporary_folder(_multiprocessing_is_warm: None) -> Iterator[None]:
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
    gc.collect()
    Remains.now().assert_same_as(before)


@pytest.fixture
def warm_pool(make_pool: Callable[..., Any]) -> Any:
    """A pool of two workers that have started."""
    return warm(make_pool(2))
