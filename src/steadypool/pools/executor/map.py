"""``map`` and ``map_unordered``: results in the order of the input, or as they end.

How far the input is read is the business of `pools.executor.window`. What is in flight are *legs*: futures,
or on processes chunks of many items (see `pools.processes.chunk`), which may turn into futures on the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from steadypool.model.errors import PoolClosed
from steadypool.model.states import Outcome
from steadypool.pools.core.core import Core
from steadypool.pools.executor.legs import Chunk, Flight, Leg
from steadypool.pools.executor.map_input import never_waits
from steadypool.pools.executor.map_options import MapOptions, was_handed_back
from steadypool.pools.executor.window import Submitter, Window
from steadypool.primitives.future import JobFuture

R = TypeVar("R")
_SUCCEEDED = Outcome.SUCCEEDED


def await_first_windows(core: Core) -> None:
    """Wait until the first windows of unread maps are submitted."""
    for await_first_window in list(core.opening_maps):
        await_first_window()


def ordered(
    pool: Submitter, fn: Callable[..., R], iterables: tuple[Iterable[object], ...], options: MapOptions
) -> Generator[R | Exception, None, None]:
    """See `PoolContract.map`."""
    window = _open_window(pool, fn, iterables, options)
    legs: deque[Leg[R]] = deque()
    window.add = legs.append
    results = _in_order(window, legs, options)
    return window.open(results, ahead=_may_wait(iterables, options))


def _open_window(
    pool: Submitter, fn: Callable[..., R], iterables: tuple[Iterable[object], ...], options: MapOptions
) -> Window[R]:
    _, task_options = pool._core.workers.resolve(fn)
    size, chunk = options.window(pool._core), options.chunk
    if chunk is None and not (pool._sends_together and task_options.bare):
        chunk = 1
    return Window(pool, fn, zip(*iterables, strict=False), size, chunk)


def _may_wait(iterables: Iterable[Iterable[object]], options: MapOptions) -> bool:
    return not options.read_here and not all(map(never_waits, iterables))


def _in_order(window: Window[R], legs: deque[Leg[R]], options: MapOptions) -> Generator[R | Exception, None, None]:
    try:
        # `Window.open` goes up to here, so that closing a map from which nothing was taken comes by the "finally" too.
        yield None  # type: ignore[misc]
        window.begin()
        while legs or window.has_more():
            if not legs:
                _await_leg(window, legs, options)
                continue
            if isinstance(legs[0], JobFuture):
                yield _result(legs.popleft(), options)  # type: ignore[arg-type] # not kept in a variable here
                window.gave(1)
            else:
                items = legs[0]._size
                yield from _results(legs[0], options)
                legs.popleft()
                window.gave(items)
        if window.failure is not None:
            raise window.failure
    finally:
        window.close(legs)


def _await_leg(window: Window[R], legs: deque[Leg[R]], options: MapOptions) -> None:
    left = options.left()
    if left is not None and left <= 0:
        raise TimeoutError("the map's input was not all there within its timeout")
    window.wait(lambda: legs, left, window.sleep)


def _results(chunk: Chunk[R], options: MapOptions) -> Iterator[R | Exception]:
    left = chunk._size
    try:
        while left and (values := chunk.next(options.deadline)) is not None:
            left -= len(values)
            yield from values
    except TimeoutError:
        chunk.cancel()
        raise
    if left:
        assert chunk.jobs is not None
        while chunk.jobs:
            yield _result(chunk.jobs.pop(0), options)  # type: ignore[arg-type]


def _result(job: JobFuture[R], options: MapOptions) -> R | Exception:
    try:
        if job.outcome is not _SUCCEEDED:
            job._wait(None if options.deadline is None else options.left())
            if job.outcome is not _SUCCEEDED:
                return options.given_for(job)
        return job.result()
    except TimeoutError:
        job.cancel()
        raise
    finally:
        del job


def unordered(
    pool: Submitter, fn: Callable[..., R], iterable: Iterable[object], options: MapOptions
) -> Generator[R | Exception, None, None]:
    """See `PoolContract.map_unordered`."""
    window = _open_window(pool, fn, (iterable,), options)
    flight: Flight[R] = Flight()
    window.landed, window.add = flight.landed, flight.add
    results = _as_they_end(window, flight, options)
    return window.open(results, ahead=_may_wait((iterable,), options))


def _as_they_end(window: Window[R], flight: Flight[R], options: MapOptions) -> Generator[R | Exception, None, None]:
    returned: BaseException | None = None
    try:
        yield None  # type: ignore[misc] # see _in_order
        window.begin()
        while window.has_more():
            if window.in_flight() <= 0 and not flight.held:
                window.wait(lambda: window.in_flight() > 0, None, flight.sleep)
                continue
            came = flight.next(window.core)
            if not isinstance(came, JobFuture):
                yield from came
                window.gave(len(came))
                continue
            if was_handed_back(came._error):
                returned = came._error
            else:
                result = options.given_for(came)
                del came
                yield result
                del result
            window.gave(1)
        if returned is not None:
            raise PoolClosed(f"the pool closed under a map: {returned}") from returned
        if window.failure is not None:
            raise window.failure
    finally:
        window.close(flight.aloft)
