"""``steadypool work``: a worker of a durable queue, until it is told to stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from steadypool.cli.durable_target import load_queue, said_plainly
from steadypool.cli.endings import DONE, SOME_FAILED
from steadypool.cli.map import COUNT, SECONDS
from steadypool.cli.summary import console_on, print_errors
from steadypool.durable import events
from steadypool.durable.feeding import KINDS
from steadypool.durable.records import DEFAULT_QUEUE
from steadypool.durable.settings import WorkerSettings
from steadypool.durable.verdicts import Caps
from steadypool.durable.worker import Worker
from steadypool.durable.workreport import WorkReport
from steadypool.words.events import Event


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """The command line of ``steadypool work``."""

    target: str
    url: str | None
    workers: int | None
    kind: str
    queues: tuple[str, ...]
    name: str | None
    lease: float
    max_crashes: int
    max_losses: int
    cancel_grace: float
    max_tasks_per_child: int | None
    drain_timeout: float
    until_empty: bool
    quiet: bool
    report: str | None


@click.command("work")
@click.argument("target", metavar="MODULE:QUEUE")
@click.option("--url", "-u", envvar="STEADYPOOL_URL", help="Where the jobs are, if the queue does not say.")
@click.option("--workers", "-w", type=COUNT, help="How many jobs run at a time (default: the pool's).")
@click.option("--kind", type=click.Choice(KINDS), default="process", show_default=True, help="What runs the jobs.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="A named queue to work on; may be repeated.")
@click.option("--name", help="What others see the worker by (default: host and process id).")
@click.option("--lease", type=SECONDS, default=6.0, show_default=True, help="Seconds after which others take its jobs.")
@click.option("--max-crashes", type=COUNT, default=3, show_default=True, help="Deaths of its process a job may cause.")
@click.option("--max-losses", type=COUNT, default=25, show_default=True, help="Workers that a job may be lost with.")
@click.option("--cancel-grace", type=SECONDS, default=1.0, show_default=True, help="Seconds to end once told to stop.")
@click.option("--max-tasks-per-child", type=COUNT, help="Jobs after which a process is replaced (--kind process).")
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=25.0,
    show_default=True,
    help="Seconds that the end may take, everything included.",
)
@click.option("--until-empty", is_flag=True, help="Stop when nothing is left to do but what is scheduled for later.")
@click.option("--report", metavar="FILE", help="Write the report to FILE as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but what is wrong.")
def work_command(**given: Any) -> int:
    """Run the jobs of QUEUE, a steadypool.Queue in MODULE.

    \b
        steadypool work app:queue --workers 8 --kind thread

    MODULE is found as "python -m" finds it, the current directory first. Its tasks are those that this worker knows; a
    job of another task goes back for half a minute, for a worker that does.

    SIGTERM or Ctrl-C: no more jobs are claimed, what has not started goes back, and what runs is finished, for
    --drain-timeout seconds at most, everything included; what is interrupted goes back too. Twice: running jobs are
    told to stop now. Three times: the end, at once; others take over when the lease is over.

    \b
    Exit codes: 0   every job it had is written down, or was given back
                1   something could not be written down: those jobs run again
                2   the command line, the module or the tables are wrong
    """
    return Work(WorkOptions(**given)).run()


class Work:
    """One call of ``steadypool work``."""

    def __init__(self, options: WorkOptions) -> None:
        self._options = options
        self._console = console_on(stderr=True)

    def run(self) -> int:
        """Work, and say how it went."""
        options = self._options
        queue = load_queue(options.target, options.url)
        with said_plainly():
            worker = Worker(queue, self._settings())
            worker.subscribe(Teller(self._console, options.quiet))
            report = worker.run(until_empty=options.until_empty, drain_timeout=options.drain_timeout, on_signals=True)
        self._say(report)
        return DONE if not (report.unwritten or report.left) else SOME_FAILED

    def _settings(self) -> WorkerSettings:
        options = self._options
        # Shown by `steadypool top`, by the queue's place in its module and the names that are worked on.
        pool: dict[str, Any] = {"monitor": True, "name": " ".join((options.target, *options.queues))}
        if options.max_tasks_per_child is not None:
            pool["max_tasks_per_child"] = options.max_tasks_per_child
        return WorkerSettings(
            kind=options.kind,
            workers=options.workers,
            queues=options.queues or (DEFAULT_QUEUE,),
            name=options.name or "",
            lease=options.lease,
            caps=Caps(options.max_crashes, options.max_losses),
            cancel_grace=options.cancel_grace,
            pool=pool,
        )

    def _say(self, report: WorkReport) -> None:
        if self._options.report:
            from msgspec import json

            Path(self._options.report).write_bytes(json.encode(report.to_dict()))
        if not self._options.quiet or report.unwritten or report.left:
            self._console.print(Text(str(report)), soft_wrap=True)
        print_errors(self._console, report.errors)


class Teller:
    """A sink that says what an operator wants to know, one line each."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._unknown: set[str] = set()
        self._in_trouble = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        line = self._line(event)
        if line is not None:
            self._console.print(Text(f"steadypool: {line}"), soft_wrap=True)

    def _line(self, event: Event) -> str | None:
        match event:
            case events.WorkerRegistered():
                return None if self._quiet else f"worker {event.pool!r} is ready (number {event.number})"
            case events.EngineCaution():
                return None if self._quiet else f"note: {event.text}"
            case events.TaskUnknown():
                if event.task in self._unknown:
                    return None
                self._unknown.add(event.task)
                return f"this worker cannot run {event.task}: its jobs go back for {event.delay:g} s each time"
            case events.LeaseLost():
                return f"the lease was lost; {event.jobs} running jobs were told to stop, and run again elsewhere"
            case events.ResultRefused():
                return f"the result of job-{event.job} came too late and was refused: another worker has the job"
            case events.JobsTakenBack():
                names = ", ".join(event.workers)
                return f"took back {event.returned} jobs of {names}, gone without leave ({event.discarded} discarded)"
            case events.EngineTrouble():
                first, self._in_trouble = not self._in_trouble, True
                return f"{event.error}; trying again" if first else None
            case events.EngineBack():
                self._in_trouble = False
                return f"the database answers again after {event.seconds:.1f} s"
            case _:
                return None
