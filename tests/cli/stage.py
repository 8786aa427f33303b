"""Jobs that wait for the test: each says that it has started, and then waits for an order. Nobody sleeps."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from types import TracebackType

from tests.patience import WAIT


class Actor:
    """One job that has started and waits."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._text = connection.makefile("rw")
        self.line = self._text.readline().rstrip()

    def tell(self, order: str) -> None:
        """Have the job return *order*, or raise for ``"fail"``."""
        print(order, file=self._text, flush=True)

    def close(self) -> None:
        self._text.close()
        self._connection.close()


class Stage:
    """The place that the jobs of ``jobs:on_stage`` come to: *path* leads to it."""

    def __init__(self, path: Path) -> None:
        # Not at the path itself: the name of a Unix socket must be short.
        self._folder = tempfile.TemporaryDirectory(prefix="stage-")
        address = Path(self._folder.name, "s")
        path.symlink_to(address)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(address))
        self._socket.listen(64)
        self._socket.settimeout(WAIT)
        self._actors: list[Actor] = []

    def enter(self) -> Actor:
        """The next job that has started."""
        connection, _ = self._socket.accept()
        connection.settimeout(WAIT)
        actor = Actor(connection)
        self._actors.append(actor)
        return actor

    def enter_many(self, count: int) -> dict[str, Actor]:
        """The next *count* jobs, by their lines."""
        return {actor.line: actor for actor in (self.enter() for _ in range(count))}

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        for actor in self._actors:
            actor.close()
        self._socket.close()
        self._folder.cleanup()
