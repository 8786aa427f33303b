"""Jobs one after the other, and `Result`: the argument that is what the job before has returned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from steadypool.durable.client.call import RESULTS, Call, check_has_input
from steadypool.durable.client.handle import JobHandle


class ResultMarker:
    """See `Result`."""

    def __repr__(self) -> str:
        return "Result"

    def __reduce__(self) -> str:
        return "Result"


Result: Any = ResultMarker()
"""Stands for what the job before returns, among the arguments of a call: ``parse.call(Result)``."""


class Chain(tuple[JobHandle[Any], ...]):
    """The handles of jobs of which each waits for the one before it."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> Any:
        """What the last one returns; waits, and raises, as `JobHandle.result` does."""
        return self[-1].result(timeout)

    async def result_async(self, timeout: float | None = None) -> Any:
        """The same from asyncio."""
        return await self[-1].result_async(timeout)


def jobs_in_line(calls: Sequence[Call[Any]]) -> list[Call[Any]]:
    """The calls, of which each waits for the one before it.

    Raises:
        TypeError, ValueError: there is no call, one is none, or the first takes a result.
    """
    if not calls:
        raise ValueError("chain takes calls, as in chain(fetch.call(url), parse.call(Result)); got none")
    for call in calls:
        if not isinstance(call, Call):
            raise TypeError(f"chain takes calls, made by task.call(...), not {call!r}")
    first, *rest = calls
    check_has_input(first.job)
    later: list[Call[Any]] = [Call(call.job._replace(after=(-1, *call.job.after))) for call in rest]
    for call in later:
        check_has_input(call.job)
    return [first, *later]


def with_results(options: bytes | None, names: Collection[str]) -> bytes:
    """The options of a job, with the parameters that are filled by the result of its first input."""
    given: dict[str, Any] = {} if options is None else msgspec.json.decode(options)
    return msgspec.json.encode({**given, RESULTS: list(names)})
