"""The pools that the contract is tested on. A new kind of pool joins with a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from steadypool import ProcessPool, ThreadPool


@dataclass(frozen=True)
class Kind:
    """One kind of pool, and what its users may expect to differ."""

    name: str
    pool: Callable[..., Any]
    kills: bool
    """A job that does not stop is killed with its worker; otherwise its worker is left behind with it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the pool is made with, in addition to what a test asks for."""

    def make(self, max_workers: int | None = 2, **options: Any) -> Any:
        """A pool of this kind."""
        return self.pool(max_workers, **{**self.options, **options})


def _on_a_loop(max_workers: int | None, **options: Any) -> Any:
    from tests.pools.contract.on_a_loop import OnALoop  # the programs of other kinds need no asyncio

    return OnALoop(max_workers, **options)


KINDS = {
    kind.name: kind
    for kind in [
        Kind("threads", ThreadPool, kills=False),
        Kind("processes", ProcessPool, kills=True),
        Kind("asyncio", _on_a_loop, kills=False),
    ]
}
