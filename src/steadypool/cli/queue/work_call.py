"""One call of ``steadypool work``: from its options to its report and exit code."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

import steadypool
from steadypool.cli.console import console_on, print_errors
from steadypool.cli.exit_codes import DONE, SOME_FAILED, NotStarted, UsageError
from steadypool.cli.exit_limit import TimedExit
from steadypool.cli.kinds import check_workers
from steadypool.cli.queue.known_tasks import check_tasks
from steadypool.cli.queue.target import as_usage_errors, load_queue, store_said_plainly
from steadypool.cli.queue.work_log import WorkLog
from steadypool.durable.client.options import Kind
from steadypool.durable.engine.records import DEFAULT_QUEUE
from steadypool.durable.worker.kinds import kinds_of
from steadypool.durable.worker.lifespan import LifespanFailed
from steadypool.durable.worker.log import OURS, LogSettings
from steadypool.durable.worker.program_mark import put_mark
from steadypool.durable.worker.report import WorkReport
from steadypool.durable.worker.settings import WorkerSettings
from steadypool.durable.worker.verdicts import CrashLimits
from steadypool.durable.worker.worker import Worker
from steadypool.model.printable import printable


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """The command line of ``steadypool work``."""

    target: str
    url: str | None
    workers: int | None
    processes: int | None
    coroutines: int | None
    kind: Kind
    queues: tuple[str, ...]
    name: str | None
    lease: float
    max_crashes: int
    max_losses: int
    cancel_grace: float
    give_up_unknown: float
    max_tasks_per_child: int | None
    drain_timeout: float
    until_empty: bool
    quiet: bool
    status_port: int | None
    status_host: str
    log_level: str | None
    log_format: str | None
    report: str | None


class Work:
    """One call of ``steadypool work``."""

    def __init__(self, options: WorkOptions) -> None:
        self._options = options
        self._console = console_on(stderr=True)

    def run(self) -> int:
        """Work, and say how it went."""
        options = self._options
        for kind, count, name in (
            (options.kind, options.workers, "workers"),
            ("process", options.processes, "processes"),
            ("async", options.coroutines, "coroutines"),
        ):
            check_workers(kind, count, name)
        queue = load_queue(options.target, options.url)
        self._log_settings().apply()
        check_tasks(options.target, queue)
        queue.close()  # the worker has connections of its own
        self._write_report(b"")  # before there is one: a place where none can be written is found out at once
        with as_usage_errors():
            worker = Worker(queue, self._settings())
            worker.subscribe(WorkLog(options.queues, queue.tasks), jobs=options.log_level == "debug")
        kinds = kinds_of(queue.tasks.values(), options.kind)
        mark = put_mark() if kinds != ("process",) else ""  # a process takes along what it has started
        with store_said_plainly(), self._served(worker):
            try:
                report = worker.run(
                    until_empty=options.until_empty, drain_timeout=options.drain_timeout, on_signals=True
                )
            except LifespanFailed as error:
                raise NotStarted(str(error)) from error
        self._end_programs(mark)
        self._say(report)
        return TimedExit(DONE if not (report.unwritten or report.left) else SOME_FAILED, worker.time_left)

    def _end_programs(self, mark: str) -> None:
        """What jobs have started is not to go on while they run again elsewhere."""
        if not mark:
            return
        from steadypool.durable.worker.programs import end_programs

        programs, log = end_programs(mark, os.getsid(0)), logging.getLogger(OURS)
        for program in programs.ended:
            log.warning("ended what a job had started: %s", printable(program))
        for program in programs.left:
            log.warning("what a job has started in a session of its own goes on: %s", printable(program))

    def _settings(self) -> WorkerSettings:
        options = self._options
        # Shown by `steadypool top`, by the queue's place in its module and the names that are worked on.
        slots = _slots_of(options.queues or (DEFAULT_QUEUE,))
        pool: dict[str, Any] = {"monitor": True, "name": " ".join((options.target, *options.queues))}
        if options.max_tasks_per_child is not None:
            pool["max_tasks_per_child"] = options.max_tasks_per_child
        return WorkerSettings(
            kind=options.kind,
            workers=options.workers,
            processes=options.processes,
            coroutines=options.coroutines,
            queues=tuple(slots),
            queue_slots={name: count for name, count in slots.items() if count is not None},
            name=options.name or "",
            lease=options.lease,
            caps=CrashLimits(options.max_crashes, options.max_losses),
            cancel_grace=options.cancel_grace,
            give_up_unknown=options.give_up_unknown,
            pool=pool,
            process_pool={"initializer": self._log_settings().apply},
        )

    def _served(self, worker: Worker) -> AbstractContextManager[object]:
        """A ``with`` block in which its status is served, if it is to be.

        Raises:
            UsageError: it cannot be.
        """
        options = self._options
        if options.status_port is None:
            return nullcontext()
        try:
            return steadypool.serve_status(worker, options.status_port, options.status_host)
        except OSError as error:
            raise UsageError(error.strerror or str(error)) from error
        except ImportError as error:
            raise UsageError(str(error)) from error

    def _log_settings(self) -> LogSettings:
        level = self._options.log_level or ("warning" if self._options.quiet else "info")
        return LogSettings(level, self._options.log_format)

    def _write_report(self, text: bytes) -> None:
        if not self._options.report:
            return
        try:
            Path(self._options.report).write_bytes(text)
        except OSError as error:
            raise UsageError(f"cannot write the report to {self._options.report}: {error.strerror}") from error

    def _say(self, report: WorkReport) -> None:
        options = self._options
        if options.report:
            from msgspec import json

            self._write_report(json.encode(report.to_dict()))
        is_well = not (report.unwritten or report.left)
        if options.log_format == "json":
            level = logging.INFO if is_well else logging.ERROR
            facts = {"kind": "WorkReport", "report": report.to_dict()}
            logging.getLogger(OURS).log(level, "%s", str(report).partition("\n")[0], extra=facts)
        elif not (options.quiet and is_well):
            self._console.print(Text(str(report)), soft_wrap=True)
            print_errors(self._console, report.errors)


def _slots_of(queues: Iterable[str]) -> dict[str, int | None]:
    """The queues, each with its slots.

    Raises:
        UsageError: one is given twice, with slots that differ; or what follows an ``=`` is no number of them.
    """
    slots: dict[str, int | None] = {}
    for text in queues:
        name, count = _queue_and_slots(text)
        if slots.setdefault(name, count) != count:
            raise UsageError(f"--queue {text}: the queue {name!r} is given twice, with other slots: give it once")
    return slots


def _queue_and_slots(text: str) -> tuple[str, int | None]:
    """The parts of ``mail=4``.

    Raises:
        UsageError: what follows the ``=`` is no number of slots.
    """
    name, equals, count = text.rpartition("=")
    if not equals:
        return text, None
    if not (count.isascii() and count.isdigit() and int(count) > 0):
        raise UsageError(f"--queue {text}: after the = comes the number of its slots, 1 or more, as in --queue mail=4")
    return name, int(count)
