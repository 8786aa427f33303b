"""``steadypool work``: a worker of a durable queue, until it is asked to stop. Its command line."""

from __future__ import annotations

from typing import Any

import click

from steadypool.cli.kinds import KINDS
from steadypool.cli.option_types import COUNT, LENGTH, SECONDS, SecondsRange
from steadypool.durable.worker.log import FORMATS, LEVELS

ELSEWHERE = {
    ("-c", "--concurrency"): "how many jobs run at a time is --workers 8",
    ("-Q", "--queues"): "name each queue to work on, as in --queue mail --queue pdf",
    ("-A", "--app"): "the queue is an argument: steadypool work app:queue",
    ("-l", "--loglevel", "--logging-level"): "the lowest level to log is --log-level info",
    ("-n", "--hostname"): "the worker's name is --name",
    ("-P", "--pool"): "what runs the jobs is --kind process",
    ("-b", "--burst"): "to stop when nothing is left to do is --until-empty",
    ("-B", "--beat", "--with-scheduler"): "every worker puts the jobs of schedules: leave it out",
}
"""Options that the workers of Celery and RQ have, and what to write here."""


class WorkCommand(click.Command):
    """Tells those who come from Celery or RQ what an option is here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            for names, here in ELSEWHERE.items():
                if error.option_name in names:
                    raise click.UsageError(f"No such option {error.option_name!r}: {here}", ctx) from error
            raise


@click.command("work", cls=WorkCommand)
@click.argument("target", metavar="MODULE:QUEUE")
@click.option("--url", "-u", help="Where the jobs are, if the queue does not say (default: STEADYPOOL_URL).")
@click.option("--workers", "-w", type=COUNT, help="How many jobs run at a time (default: as many as each kind has).")
@click.option("--processes", type=COUNT, help="How many jobs run in processes, beside the others.")
@click.option("--coroutines", type=COUNT, help="How many coroutines run on the event loop, beside the others.")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="thread",
    help="What runs the jobs of functions whose task does not say. Coroutine functions run on an event loop.",
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME[=SLOTS]",
    help="A named queue to work on (default: default), and how many of its jobs run at a time; may be repeated.",
)
@click.option("--name", help="Worker name, as shown by jobs stats (default: host and process id).")
@click.option("--lease", type=SECONDS, default=6.0, help="Seconds after which a silent worker loses its jobs.")
@click.option("--max-crashes", type=COUNT, default=3, help="Discard a job after this many crashes of its process.")
@click.option("--max-losses", type=COUNT, default=25, help="Discard a job after it was lost with this many workers.")
@click.option(
    "--give-up-unknown",
    type=LENGTH,
    default="30d",
    help="How long jobs wait for a worker with their task, in their version, before they are discarded.",
)
@click.option("--cancel-grace", type=SECONDS, default=1.0, help="Seconds that a job has to end once asked to stop.")
@click.option("--max-tasks-per-child", type=COUNT, help="Jobs after which a process is replaced (--kind process).")
@click.option(
    "--drain-timeout",
    type=SecondsRange(min=0),
    default=25.0,
    help="Seconds that the end may take, everything included.",
)
@click.option(
    "--until-empty", is_flag=True, help="Stop when only jobs scheduled for later are left; retries are waited for."
)
@click.option("--report", metavar="FILE", help="Write the report to FILE as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Log warnings and errors alone, and print no report.")
@click.option(
    "--status-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve /livez, /readyz, /metrics and /status.json on this port, over HTTP.",
)
@click.option("--status-host", default="127.0.0.1", help="The address for --status-port; 0.0.0.0 for all.")
@click.option("--log-level", type=click.Choice(LEVELS), help="The lowest level to log (default: info).")
@click.option(
    "--log-format", type=click.Choice(FORMATS), help="The format of log lines (default: the program's, else text)."
)
def work_command(**given: Any) -> int:
    """Run the jobs of QUEUE, a steadypool.Queue in MODULE.

    \b
        steadypool work app:queue --workers 8 --processes 2 --coroutines 200
        steadypool work app:queue --queue mail=4 --queue pdf=2 --queue default

    MODULE is found as "python -m" finds it, the current directory first. Its tasks are those that this worker knows;
    jobs of others are set aside, for a worker that knows them.

    On SIGTERM or Ctrl-C the worker claims no more jobs, gives back those that have not started, and finishes those that
    run, for --drain-timeout seconds at most, everything included; it gives back the jobs that it interrupts, too. On a
    second signal it asks running jobs to stop now. On a third it ends at once; other workers take over when its lease
    has run out.

    \b
    Exit codes: 0   every job it had is written down, or was given back
                1   something could not be written down: those jobs run again
                2   the command line, the module or the tables are wrong
                3   the queue's lifespan could not be entered
    """
    from steadypool.cli.queue.work_call import Work, WorkOptions  # the worker, which the help does without

    return Work(WorkOptions(**given)).run()
