"""A worker on a thread of this process, for tests that look at what it does."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from steadypool import Queue, Worker, WorkerSettings, WorkReport
from tests.pools.contract.stage import WAIT


class Working:
    """A ``with`` block in which a worker works. What it reports is there afterwards."""

    def __init__(self, queue: Queue, kind: str = "thread", workers: int = 2, **settings: Any) -> None:
        self.worker = Worker(queue, WorkerSettings(kind=kind, workers=workers, cancel_grace=0.2, **settings))
        self.events: list[Any] = []
        self.worker.subscribe(self._take)
        self._heard = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.report: WorkReport | None = None
        self.failure: BaseException | None = None

    def __enter__(self) -> Working:
        self._thread.start()
        self.wait_for("WorkerRegistered")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.end(10.0)

    def end(self, seconds: float) -> WorkReport:
        """Drain, and return the report."""
        if self._thread.is_alive():
            self.worker.request_drain(seconds)
        return self.ended(seconds)

    def ended(self, seconds: float = 0.0) -> WorkReport:
        """Wait until it has ended by itself, and return the report."""
        self._thread.join(WAIT + seconds)
        assert not self._thread.is_alive(), "the worker has not ended in its time"
        if self.failure is not None:
            raise self.failure
        assert self.report is not None
        return self.report

    def wait_for(self, name: str, count: int = 1) -> Any:
        """The *count*-th event of that name, once it has come."""
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.all(name)) >= count or self.failure is not None, WAIT), name
        if self.failure is not None:
            raise self.failure
        return self.all(name)[count - 1]

    def all(self, name: str) -> list[Any]:
        """The events of that name so far."""
        return [event for event in list(self.events) if type(event).__name__ == name]

    def _take(self, event: Any) -> None:
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    def _work(self) -> None:
        try:
            self.report = self.worker.run()
        except BaseException as error:
            with self._heard:
                self.failure = error
                self._heard.notify_all()
