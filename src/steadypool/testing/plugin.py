"""The pytest plugin: fixtures for tests of programs with jobs. It imports what a fixture needs when one is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from steadypool.durable.client.queue import Queue
    from steadypool.testing.jobs import Jobs
    from steadypool.testing.pools import PoolWatch
    from steadypool.testing.postgres_store import Schema

_WATCH: pytest.StashKey[PoolWatch] = pytest.StashKey()
_TOLD: pytest.StashKey[bool] = pytest.StashKey()
MARKER = "steadypool(url): keep the jobs of these tests in a schema of that database of PostgreSQL"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def drained_pools(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test fails if it leaves a pool open, or a job running; when it fails, it shows what became of its pools."""
    from steadypool.testing.pools import PoolWatch, raise_if_left

    watch = request.node.stash[_WATCH] = PoolWatch()
    yield
    try:
        if not request.node.stash.get(_TOLD, False):
            raise_if_left(watch)
    finally:
        watch.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Have the failure of a test show what became of its pools, if it has the fixture ``drained_pools``."""
    watch, failed = item.stash.get(_WATCH, None), call.excinfo
    if watch is None or call.when != "call" or failed is None or failed.errisinstance(pytest.skip.Exception):
        return
    from steadypool.testing.pools import add_reports

    add_reports(watch, failed.value)
    item.stash[_TOLD] = True


@pytest.fixture
def steadypool_queues() -> Sequence[Queue] | None:
    """Which queues the fixture ``jobs`` moves to its store; by default all of the process. To be overridden."""
    return None


@pytest.fixture
def steadypool_url(request: pytest.FixtureRequest) -> str | None:
    """The database of PostgreSQL in which the jobs of a test are kept, as its marker says. May be overridden."""
    marker = request.node.get_closest_marker("steadypool")
    url: Any = None if marker is None else marker.kwargs.get("url")
    if marker is not None and (marker.args or marker.kwargs.keys() != {"url"} or not isinstance(url, str)):
        raise pytest.UsageError('the marker is written @pytest.mark.steadypool(url="postgresql://...")')
    return None if url is None else str(url)


@pytest.fixture(scope="session")
def _steadypool_schemas() -> Iterator[tuple[ExitStack, dict[str, Schema]]]:
    with ExitStack() as stack:
        yield stack, {}


@pytest.fixture
def jobs(
    steadypool_url: str | None, steadypool_queues: Sequence[Queue] | None, request: pytest.FixtureRequest
) -> Iterator[Jobs]:
    """The durable jobs of this test, in a store of its own (`steadypool.testing.Jobs`)."""
    from steadypool.testing.store import jobs_at, new_file

    if steadypool_url is None:
        folder: Path = request.getfixturevalue("tmp_path")
        with new_file(folder) as url, jobs_at(url, steadypool_queues) as found:
            yield found
        return
    from steadypool.testing.postgres_store import Schema

    stack, schemas = request.getfixturevalue("_steadypool_schemas")
    if steadypool_url not in schemas:
        schemas[steadypool_url] = stack.enter_context(Schema(steadypool_url, f"{len(schemas)}"))
    try:
        with jobs_at(schemas[steadypool_url].url, steadypool_queues) as found:
            yield found
    finally:
        schemas[steadypool_url].empty()
