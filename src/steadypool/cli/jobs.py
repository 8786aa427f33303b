"""``steadypool jobs``: look at a durable queue, and change single jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from steadypool.cli.durable_target import queue_at, said_plainly
from steadypool.cli.endings import DONE, SOME_FAILED
from steadypool.cli.map import COUNT
from steadypool.cli.summary import console_on
from steadypool.durable.queue import Queue
from steadypool.durable.records import JobFilter, JobRecord
from steadypool.durable.states import ENDED, JobState
from steadypool.words.errors import SteadypoolError

STATES = [state.value for state in JobState]
LONGEST_ARGUMENTS = 60

url_option = click.option(
    "--url", "-u", envvar="STEADYPOOL_URL", help="Where the jobs are, such as sqlite:///jobs.db (or STEADYPOOL_URL)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on each line, for programs.")


@click.group("jobs")
def jobs_group() -> None:
    """Look at the jobs of a durable queue, and change them.

    \b
        steadypool jobs list --url sqlite:///jobs.db --state discarded
        steadypool jobs show job-42
        steadypool jobs retry job-42 job-43
    """


@jobs_group.command("list")
@url_option
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated.")
@click.option("--queue", metavar="NAME", help="Only of this named queue.")
@click.option("--task", metavar="NAME", help="Only of this task.")
@click.option("--limit", type=COUNT, default=50, show_default=True, help="The latest so many.")
@json_option
def list_command(
    url: str | None, states: tuple[str, ...], queue: str | None, task: str | None, limit: int, as_json: bool
) -> int:
    """The latest jobs, the newest first."""
    chosen = frozenset(JobState(state) for state in states) or frozenset(JobState)
    with said_plainly():
        records = queue_at(url).list(JobFilter(chosen, queue, task, limit=limit))
    if as_json:
        _echo_json(map(as_plain, records))
        return DONE
    table = Table("id", "state", "task", "queue", "attempt", "enqueued", "arguments", box=None)
    for record in records:
        row = (record.id, record.state.value, record.task, record.queue, str(record.attempt), _when(record.enqueued_at))
        table.add_row(*map(Text, row), Text(_arguments(record)))
    console_on(stderr=False).print(table if records else "no jobs")
    return DONE


@jobs_group.command("show")
@click.argument("job_id", metavar="ID")
@url_option
@json_option
def show_command(job_id: str, url: str | None, as_json: bool) -> int:
    """Everything about one job, with the error of each attempt."""
    with said_plainly():
        record = queue_at(url).record(job_id)
    if as_json:
        _echo_json([as_plain(record)])
        return DONE
    for name, value in as_plain(record).items():
        if name != "errors" and value not in (None, "", False):
            shown = _when(value) if name.endswith("_at") else value if isinstance(value, str) else json.dumps(value)
            click.echo(f"{name:12} {shown}")
    for error in record.errors:
        click.echo(f"\nattempt {error.attempt}, {_when(error.at)}: {error.outcome}: {error.type_name}: {error.message}")
        click.echo(error.traceback.rstrip())
    return DONE


@jobs_group.command("stats")
@url_option
@json_option
def stats_command(url: str | None, as_json: bool) -> int:
    """How many jobs are where, and who works."""
    with said_plainly():
        stats = queue_at(url).stats()
    if as_json:
        _echo_json([asdict(stats)])
        return DONE
    console = console_on(stderr=False)
    table = Table("queue", *STATES, "oldest", box=None)
    for row in stats.queues:
        name = f"{row.name} (paused)" if row.paused else row.name
        oldest = "" if row.oldest_available is None else f"{row.oldest_available:.0f} s"
        table.add_row(Text(name), *(str(getattr(row, state)) for state in STATES), oldest)
    console.print(table)
    workers = Table("worker", "running", "since", "lease", box=None)
    for worker in stats.workers:
        lease = "held" if worker.alive else "over"
        workers.add_row(Text(worker.name), str(worker.running), _when(worker.since), lease)
    console.print(workers if stats.workers else "no workers")
    return DONE


@jobs_group.command("retry")
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@url_option
@json_option
def retry_command(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """Run jobs again that were discarded or cancelled; or now, those that are delayed."""
    return _change(queue_at(url), job_ids, Queue.retry, "available", as_json)


@jobs_group.command("cancel")
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@url_option
@json_option
def cancel_command(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """Cancel jobs: those that wait at once; those that run are asked to stop, within two seconds."""
    return _change(queue_at(url), job_ids, _cancel, "cancelled", as_json)


@jobs_group.command("discard")
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@url_option
@click.option("--reason", default="discarded by hand", show_default=True, help="Why, for whoever looks later.")
@json_option
def discard_command(job_ids: tuple[str, ...], url: str | None, reason: str, as_json: bool) -> int:
    """Give up jobs that wait."""
    return _change(queue_at(url), job_ids, lambda queue, job_id: queue.discard(job_id, reason), "discarded", as_json)


@jobs_group.command("pause")
@click.argument("name", default="default")
@url_option
def pause_command(name: str, url: str | None) -> int:
    """Have no more jobs claimed from the named queue; what runs goes on."""
    with said_plainly():
        queue_at(url).pause(name)
    return DONE


@jobs_group.command("resume")
@click.argument("name", default="default")
@url_option
def resume_command(name: str, url: str | None) -> int:
    """Have jobs claimed from the named queue again."""
    with said_plainly():
        queue_at(url).resume(name)
    return DONE


def _change(
    queue: Queue, job_ids: Iterable[str], change: Callable[[Queue, str], object], done: str, as_json: bool
) -> int:
    """Change each job; *change* returns something else to say than *done*, or false if the job has ended."""
    code = DONE
    for job_id in job_ids:
        with said_plainly():
            problem, said = _changed(queue, job_id, change)
        code = DONE if problem is None and code == DONE else SOME_FAILED
        if as_json:
            _echo_json([{"id": job_id, "done": (said or done) if problem is None else None, "error": problem}])
        elif problem is None:
            click.echo(f"{job_id} {said or done}")
        else:
            click.echo(f"Error: {problem}", err=True)
    return code


def _changed(queue: Queue, job_id: str, change: Callable[[Queue, str], object]) -> tuple[str | None, str | None]:
    """Change the job; why it could not be changed, and what there is to say of it."""
    try:
        changed = change(queue, job_id)
    except SteadypoolError as error:
        return str(error), None
    if changed is False:
        return f"job {job_id!r} has ended already", None
    return None, changed if isinstance(changed, str) else None


def _cancel(queue: Queue, job_id: str) -> str | bool:
    state = queue.request_cancel(job_id)
    if state in ENDED:
        return False
    return "runs, and was asked to stop" if state is JobState.RUNNING else "cancelled"


def as_plain(record: JobRecord) -> dict[str, Any]:
    """The record as JSON carries it: arguments and result as what they are."""
    plain = asdict(record)
    plain["state"] = record.state.value
    for name, raw in (("payload", record.payload), ("result", record.result)):
        plain[name] = None if raw is None else json.loads(raw)
    return plain


def _echo_json(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(row))


def _arguments(record: JobRecord) -> str:
    text = "" if record.payload is None else record.payload.decode()
    return text if len(text) <= LONGEST_ARGUMENTS else f"{text[: LONGEST_ARGUMENTS - 1]}…"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
