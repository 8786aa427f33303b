"""Jobs that wait for a cue of the test, so that nobody has to sleep."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.patience import WAIT as WAIT  # where the tests of asyncio look for it


class Cue:
    """Counts the jobs that have started, and lets them go."""

    def __init__(self) -> None:
        self.started = 0
        self.ended = 0
        self.cancelled = 0
        self._changed = asyncio.Event()
        self._go = asyncio.Event()

    async def __call__(self, value: Any = "done") -> Any:
        """The job: it says that it has started, and returns *value* on the cue."""
        self.started += 1
        self._changed.set()
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended += 1
            self._changed.set()
        return value

    async def swallow(self, value: Any = "done") -> Any:
        """The same, but it does not let itself be cancelled."""
        self.started += 1
        self._changed.set()
        while not self._go.is_set():
            try:
                await self._go.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                self._changed.set()
        self.ended += 1
        self._changed.set()
        return value

    def go(self) -> None:
        """Let every job go, now and later."""
        self._go.set()

    async def wait_started(self, count: int = 1) -> None:
        """Wait until that many have started."""
        await self._wait(lambda: self.started >= count)

    async def wait_cancelled(self, count: int = 1) -> None:
        """Wait until that many cancellations have come."""
        await self._wait(lambda: self.cancelled >= count)

    async def wait_ended(self, count: int = 1) -> None:
        """Wait until that many have ended."""
        await self._wait(lambda: self.ended >= count)

    async def _wait(self, is_so: Any) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


async def turns(count: int = 5) -> None:
    """Let the loop go round, so that everything that is ready has run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(is_so: Any) -> None:
    """Let the loop go round until it is so; for what cannot be waited on."""
    while not is_so():
        await asyncio.sleep(0)


async def same(value: Any = None) -> Any:
    """Return the argument, without waiting."""
    return value


async def later(value: Any = None) -> Any:
    """Return the argument after a round of the loop."""
    await asyncio.sleep(0)
    return value


async def fail(message: str = "it failed") -> None:
    """Raise `ValueError`."""
    raise ValueError(message)


async def hang() -> None:
    """Wait for ever; can be cancelled."""
    await asyncio.get_running_loop().create_future()


async def hang_deep() -> None:
    """The same, one call deeper."""
    await hang()
