"""Jobs that run when they are enqueued: by a writer that has them run, once they are there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from steadypool.durable.client.group_commit import Writer
from steadypool.durable.engine.records import EnqueueResult, NewJob


class Inline:
    """Runs what is due, one caller at a time. What a job enqueues is left to the caller that runs it.

    Args:
        run_all: runs what is due, until nothing is.
    """

    def __init__(self, run_all: Callable[[], object]) -> None:
        self._run_all = run_all
        self._lock = threading.Lock()
        self._asked = 0
        self._is_running = False

    def run(self) -> None:
        """Have run what has been put by now. Raises what a job raises, if *run_all* does."""
        with self._lock:
            self._asked += 1
            if self._is_running:
                return  # who runs sees that it was asked, and looks again
            self._is_running = True
        try:
            while self._looks_again():
                self._run_all()
        except BaseException:
            with self._lock:
                self._is_running = False
            raise

    def _looks_again(self) -> bool:
        with self._lock:
            self._is_running, self._asked = self._asked > 0, 0
            return self._is_running


class InlineWriter(Writer):
    """Puts jobs by *writer*, and has them run."""

    def __init__(self, writer: Writer, inline: Inline) -> None:
        self._writer = writer
        self._inline = inline

    def put(self, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """See `Writer.put`."""
        placed = self._writer.put(jobs)
        self._inline.run()
        return placed

    def put_soon(self, jobs: Sequence[NewJob]) -> Future[list[EnqueueResult]]:
        """See `Writer.put_soon`. They run on a thread: the caller's runs an event loop."""
        placed, ran = self._writer.put_soon(jobs), Future[list[EnqueueResult]]()

        def run() -> None:
            try:
                answer = placed.result()
                self._inline.run()
            except BaseException as error:
                ran.set_exception(error)
            else:
                ran.set_result(answer)

        threading.Thread(target=run, name="steadypool-inline", daemon=True).start()
        return ran

    def close(self) -> None:
        """See `Writer.close`."""
        self._writer.close()
