"""Where the jobs of `jobs.act` wait for the test: each says that it has started, and then waits for orders.

It is a Unix socket, so it works from threads and processes alike, and nobody has to sleep or poll.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from tests.patience import WAIT
from tests.pools.contract.jobs import act


class Actor:
    """One job that has started and does as it is told."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._text = connection.makefile("rw")
        self.name = self._text.readline().rstrip()

    def tell(self, order: str) -> None:
        """Have the job do one of `jobs.ORDERS`."""
        print(order, file=self._text, flush=True)

    def ask(self, question: str) -> Any:
        """The job's answer to one of `jobs.QUESTIONS`."""
        self.tell(question)
        return json.loads(self._text.readline())

    def wait_gone(self) -> None:
        """Wait until the job has ended."""
        while self._text.readline():
            pass

    def close(self) -> None:
        """Let the job go; it returns its name."""
        # Shut down first: a worker that was forked meanwhile holds a copy of the connection, which closing spares.
        for end in (lambda: self._connection.shutdown(socket.SHUT_RDWR), self._text.close, self._connection.close):
            try:
                end()
            except OSError:
                pass  # the job has gone already


class Stage:
    """The place that the jobs of `jobs.act` come to."""

    def __init__(self) -> None:
        # Not pytest's own folder: the name of a Unix socket must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="stage-"))
        self.address = str(self._folder / "s")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address)
        self._socket.listen(256)
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
        """The next *count* jobs, by their names."""
        return {actor.name: actor for actor in (self.enter() for _ in range(count))}

    def enter_within(self, seconds: float) -> Actor | None:
        """As `enter`; ``None`` if no job starts within *seconds*."""
        self._socket.settimeout(seconds)
        try:
            return self.enter()
        except (BlockingIOError, TimeoutError):
            return None
        finally:
            self._socket.settimeout(WAIT)

    def is_empty(self, seconds: float = 0.0) -> bool:
        """Whether no further job has started, nor does so within *seconds*."""
        self._socket.settimeout(seconds)
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, TimeoutError):
            return True
        finally:
            self._socket.settimeout(WAIT)
        self._actors.append(Actor(connection))
        return False

    def start(self, pool: Any, name: str = "actor", fn: Any = act) -> tuple[Any, Actor]:
        """Submit one job to the pool and wait until it has started."""
        future = pool.submit(fn, self.address, name)
        return future, self.enter()

    def occupy(self, pool: Any, workers: int = 1) -> list[tuple[Any, Actor]]:
        """Have that many workers of the pool busy."""
        return [self.start(pool, f"busy-{number}") for number in range(workers)]

    def close(self) -> None:
        """Let every job go."""
        for actor in self._actors:
            actor.close()
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)
