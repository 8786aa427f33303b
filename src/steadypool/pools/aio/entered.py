"""A context manager that one task of an event loop enters and leaves.

What it makes may be bound to that task, or to its context: a task group, a cancel scope, a context variable.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack

Manager = AbstractContextManager[object] | AbstractAsyncContextManager[object]


class Entered:
    """One manager, sync or async. Made on the loop."""

    def __init__(self, manager: Manager) -> None:
        loop = asyncio.get_running_loop()
        self._is_over = asyncio.Event()
        self._resources: asyncio.Future[object] = loop.create_future()
        self._task = loop.create_task(self._hold(manager))

    async def resources(self) -> object:
        """What it has yielded; or raise what it raised instead."""
        return await self._resources

    async def leave(self) -> None:
        """Leave it. What it raises is for the caller."""
        self._is_over.set()
        await self._task

    async def _hold(self, manager: Manager) -> None:
        try:
            async with AsyncExitStack() as stack:
                if isinstance(manager, AbstractAsyncContextManager):
                    resources = await stack.enter_async_context(manager)
                else:
                    resources = stack.enter_context(manager)
                self._resources.set_result(resources)
                await self._is_over.wait()
        except BaseException as error:
            if self._resources.done():
                raise
            self._resources.set_exception(error)
