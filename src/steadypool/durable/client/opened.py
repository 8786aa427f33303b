"""What a queue has open in this process: its engine, its writer, and how it waits for ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from steadypool.durable.client.ends import Ends
from steadypool.durable.client.group_commit import Writer
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine


class Opened:
    """Each part is made when it is first asked for. A forked child makes its own.

    No lock: a signal handler may come in the middle and ask for the same. The second takes what the first has made, and
    drops its own, which has nothing open yet.

    Args:
        address: asked for the address when the first part is made; the others are at the same one.
    """

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address
        self.at: str | None = None
        """Where it is open."""
        self._pid = os.getpid()
        self._parts: dict[str, Any] = {}
        self.left_behind: list[object] = []
        """A parent's: neither used, nor closed by being freed."""

    @property
    def engine(self) -> Engine:
        """For looking and for changing single jobs."""
        self.renew_after_fork()
        found: Engine = self._parts.get("engine") or self._parts.setdefault("engine", open_engine(self._use()))
        return found

    @property
    def writer(self) -> Writer:
        """It has an engine of its own, so that looking does not wait for writing."""
        self.renew_after_fork()
        found: Writer = self._parts.get("writer") or self._parts.setdefault("writer", Writer(self._use()))
        return found

    @property
    def ends(self) -> Ends:
        """How the threads and asyncio tasks of this process wait for results."""
        engine = self.engine
        found: Ends = self._parts.get("ends") or self._parts.setdefault("ends", Ends(engine))
        return found

    @contextmanager
    def writing_by(self, wrap: Callable[[Writer], Writer]) -> Iterator[None]:
        """A block in which jobs are put by what *wrap* makes of the writer."""
        writer = self.writer
        self._parts["writer"] = wrap(writer)
        try:
            yield
        finally:
            if "writer" in self._parts:
                self._parts["writer"] = writer

    def close(self) -> None:
        """Write what waits and close the connections."""
        if self._pid == os.getpid():
            parts, self._parts = self._parts, {}
            self.at = None
            for name in ("ends", "writer", "engine"):
                if name in parts:
                    parts[name].close()

    def renew_after_fork(self) -> None:
        """Leave behind what is the parent's, if this is a child."""
        if self._pid != os.getpid():
            if self._parts:
                self.left_behind.append(self._parts)
            self._parts, self.at = {}, None
            self._pid = os.getpid()

    def _use(self) -> str:
        if self.at is None or not self._parts:  # else all parts are where the first one is, whatever has changed
            self.at = self._address()
        return self.at
