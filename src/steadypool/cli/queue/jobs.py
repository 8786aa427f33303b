"""``steadypool jobs``: look at a durable queue, and change single jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import click

from steadypool.cli.exit_codes import DONE
from steadypool.cli.option_types import COUNT
from steadypool.cli.queue.filters import STATES, Chosen, chosen_jobs, filter_options
from steadypool.cli.queue.job_text import (
    HEADINGS,
    WORKER_HEADINGS,
    cells_of,
    depth_of,
    held_by,
    lines_of,
    reason_of,
    worker_cells,
)
from steadypool.cli.queue.output import change_each, echo_json, echo_table
from steadypool.cli.queue.target import as_usage_errors, group_url_option, json_option, queue_at, url_option
from steadypool.durable.client.bulk import BulkResult, with_states
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.errors import WrongState
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, JobRecord, public_id
from steadypool.durable.engine.states import ENDED, JobState
from steadypool.durable.engine.why_idle import Surroundings, unserved, why_idle
from steadypool.model.errors import SteadypoolError
from steadypool.model.printable import printable
from steadypool.model.quantities import length_text

LINKS_SHOWN = 20
"""So many of the jobs that one waits for."""
LOOKED_AT = 100
"""Of jobs that are retried, so many are looked at for tasks that no worker knows."""


@click.group("jobs")
@group_url_option
def jobs_group() -> None:
    """Look at the jobs of a durable queue, and change them.

    \b
        steadypool jobs list --url sqlite:///jobs.db --state discarded
        steadypool jobs show job-42
        steadypool jobs retry job-42 job-43
    """


@jobs_group.command("list")
@url_option
@filter_options
@click.option("--limit", type=COUNT, default=50, help="The latest so many.")
@json_option
def list_command(url: str | None, which: JobFilter, limit: int, as_json: bool) -> int:
    """The latest jobs, the newest first."""
    which = replace(which, limit=limit + 1)
    with as_usage_errors():
        source = queue_at(url)
        records = source.list(which)
        total = count_of(source, which, records) if len(records) > limit else len(records)
        now = source.engine.now()
        records = records[:limit]
        reasons = [] if as_json else _reasons(source.engine, records)
    if as_json:
        return echo_json(*(as_plain(record, errors=False) for record in records))
    if not records:
        click.echo("no jobs")
        return DONE
    echo_table(HEADINGS, [cells_of(record, now, why) for record, why in zip(records, reasons, strict=True)])
    if total is None or total > len(records):
        shown = f"the latest {len(records):,}" if total is None else f"{len(records):,} of {total:,}"
        click.echo(f"{shown} jobs are shown; --limit shows more")
    return DONE


def _reasons(engine: Engine, records: Sequence[JobRecord]) -> list[str]:
    """Why each of these does not run, or has failed, in a few words."""
    around = Surroundings.of(engine, records)
    waiting = [record.number for record in records if record.state is JobState.WAITING]
    awaited = {number: _awaited(engine, number) for number in waiting[:LINKS_SHOWN]}
    return [reason_of(record, around, awaited.get(record.number, "other jobs")) for record in records]


def _awaited(engine: Engine, number: int) -> str:
    """What a job waits for: the first such job that has not ended, and how many more there are."""
    links = [link for link in engine.links.before(number, LINKS_SHOWN) if link.state == "open"]
    if not links:
        return "other jobs"
    first = public_id(links[0].number, links[0].nonce, None)
    found = engine.get(first)
    more = f" and {len(links) - 1} more" if len(links) > 1 else ""
    return (first if found is None else found.id) + more


@jobs_group.command("show")
@click.argument("job_id", metavar="ID")
@url_option
@json_option
def show_command(job_id: str, url: str | None, as_json: bool) -> int:
    """Everything about one job, with the error of each attempt."""
    with as_usage_errors():
        source = queue_at(url)
        record, now = source.record(job_id), source.engine.now()
        links = source.engine.links.before(record.number, LINKS_SHOWN + 1)
        notes = list(why_idle(source.engine, record))
        before = [(link, source.engine.get(public_id(link.number, link.nonce, None))) for link in links[:LINKS_SHOWN]]
    if as_json:
        waits = [{"id": other and other.id, "needs": link.needs, "state": link.state} for link, other in before]
        return echo_json({**as_plain(record), **({"after": waits} if waits else {})})
    for line in lines_of(record, now, before, notes):
        click.echo(line)
    if len(links) > LINKS_SHOWN:
        click.echo("(it waits for more than these)")
    return DONE


@jobs_group.command("stats")
@url_option
@json_option
def stats_command(url: str | None, as_json: bool) -> int:
    """How many jobs are where, and who works."""
    with as_usage_errors():
        source = queue_at(url)
        stats, now = source.stats(), source.engine.now()
    left = unserved(stats.queues, stats.workers)
    if as_json:
        return echo_json({**asdict(stats), "unserved": left})
    rows = [
        [
            f"{row.name} (paused)" if row.paused else row.name,
            *(f"{getattr(row, state):,}" for state in STATES),
            "" if row.oldest_available is None else length_text(row.oldest_available),
        ]
        for row in stats.queues
    ]
    echo_table(["queue", *STATES, "oldest"], rows)
    workers = [worker_cells(worker, now) for worker in stats.workers]
    echo_table(WORKER_HEADINGS, workers) if workers else click.echo("no workers")
    for name in left:
        click.echo(f"no worker serves queue {printable(name)}, and jobs wait there")
    return DONE


@jobs_group.command("retry")
@chosen_jobs
@url_option
@json_option
def retry_command(url: str | None, chosen: Chosen, as_json: bool) -> int:
    """Run jobs again that were discarded or cancelled; or now, those that are delayed.

    \b
        steadypool jobs retry job-42 job-43
        steadypool jobs retry --task send_email --ended-within 2h --dry-run

    A filter without --state means discarded jobs. A job whose unique key another job has by now stays as it is.
    """
    queue = queue_at(url)
    with as_usage_errors():
        unknown = queue.engine.unknown_tasks(_tasks_of(queue.engine, chosen))
    code = _change(queue, _retry, "available", queue.retry_all, chosen, as_json)
    for task in map(printable, sorted(unknown)):
        click.echo(f"warning: no worker at work knows task {task}; its jobs wait for one that does", err=True)
    return code


def _tasks_of(engine: Engine, chosen: Chosen) -> set[str]:
    """The tasks of the jobs that are to be retried; of many, those of the latest."""
    if chosen.job_ids:
        found = [engine.get(job_id) for job_id in chosen.job_ids[:LOOKED_AT]]
    else:
        found = [*engine.find(replace(with_states("retry", chosen.which), limit=LOOKED_AT))]
    return {record.task for record in found if record is not None}


@jobs_group.command("cancel")
@chosen_jobs
@url_option
@json_option
def cancel_command(url: str | None, chosen: Chosen, as_json: bool) -> int:
    """Cancel jobs: those that wait at once; those that run are asked to stop, within two seconds."""
    queue = queue_at(url)
    return _change(queue, _cancel, "cancelled", queue.cancel_all, chosen, as_json)


@jobs_group.command("discard")
@chosen_jobs
@url_option
@click.option("--reason", default="discarded by hand", help="Why; the record keeps it.")
@json_option
def discard_command(url: str | None, chosen: Chosen, reason: str, as_json: bool) -> int:
    """Give up jobs that wait."""
    queue = queue_at(url)
    change, change_all = partial(_discard, reason=reason), partial(queue.discard_all, reason=reason)
    return _change(queue, change, "discarded", change_all, chosen, as_json)


@jobs_group.command("pause")
@click.argument("name", default="default")
@url_option
def pause_command(name: str, url: str | None) -> int:
    """Claim no more jobs from the named queue; running jobs continue."""
    said = " is paused: nothing is claimed from it any more", " was paused before"
    return _change_queue(url, name, Queue.pause, said)


@jobs_group.command("resume")
@click.argument("name", default="default")
@url_option
def resume_command(name: str, url: str | None) -> int:
    """Claim jobs from the named queue again."""
    return _change_queue(url, name, Queue.resume, (" was not paused", " is resumed"))


def _change_queue(url: str | None, name: str, change: Callable[[Queue, str], None], said: tuple[str, str]) -> int:
    """Change the named queue, and say the first thing, or the second if it was paused."""
    with as_usage_errors():
        source = queue_at(url)
        before = depth_of(source, name)
        change(source, name)
    click.echo(f"{printable(name)}{said[bool(before.paused)]}; {held_by(before)}")
    return DONE


def _change(
    queue: Queue,
    change: Callable[[Queue, str], str],
    done: str,
    change_all: Callable[..., BulkResult],
    chosen: Chosen,
    as_json: bool,
) -> int:
    """Change these jobs, or those that a filter finds."""
    if chosen.job_ids:
        return change_each(chosen.job_ids, partial(change, queue), SteadypoolError, as_json)
    with as_usage_errors():
        return _say(change_all(chosen.which, dry_run=chosen.dry_run), done, as_json)


def _say(result: BulkResult, done: str, as_json: bool) -> int:
    if as_json:
        return echo_json(asdict(result))
    if result.dry_run:
        click.echo(f"{result.found:,} jobs; with --dry-run they stay as they are")
        return DONE
    for job_id in result.conflicts:
        click.echo(f"{printable(job_id)} stays as it is: another job has its unique key, or is being put with it")
    asked = f", and {result.asked:,} that run were asked to stop" if result.asked else ""
    click.echo(f"{result.changed - result.asked:,} jobs {done}{asked}")
    return DONE


def _retry(queue: Queue, job_id: str) -> str:
    queue.retry(job_id)
    return "available"


def _discard(queue: Queue, job_id: str, *, reason: str) -> str:
    queue.discard(job_id, reason)
    return "discarded"


def _cancel(queue: Queue, job_id: str) -> str:
    state = queue.request_cancel(job_id)
    if state in ENDED:
        raise WrongState(f"job {job_id!r} has ended already")
    return "runs, and was asked to stop" if state is JobState.RUNNING else "cancelled"


def as_plain(record: JobRecord, *, errors: bool = True) -> dict[str, Any]:
    """The record as JSON carries it: arguments, result and checkpoint as what they are. A list has but the last error,
    and no checkpoint."""
    plain = asdict(record)
    plain["state"] = record.state.value
    turn = plain.pop("turn")
    plain["limits"] = [] if turn is None else [{"name": name, "key": key or None} for name, key in turn.pairs]
    plain["lane"] = None if turn is None else turn.own_lane or None
    for name, raw in (("payload", record.payload), ("result", record.result), ("checkpoint", record.checkpoint)):
        plain[name] = None if raw is None else json.loads(raw)
    if not errors:
        for name in ("errors", "checkpoint", "saved_at"):
            del plain[name]
    return plain


COUNTED_BELOW = 100_000
"""In a store that has had so many jobs they are not counted for a list: `jobs stats` does."""


def count_of(queue: Queue, which: JobFilter, latest: Sequence[JobRecord]) -> int | None:
    """How many jobs *which* asks for; ``None``: to count them would take long."""
    counted = JobFilter(which.states, which.queue, limit=which.limit)
    if which != counted or latest[0].number > COUNTED_BELOW:
        return None
    rows = [row for row in queue.stats().queues if which.queue in (None, row.name)]
    return sum(int(getattr(row, state.value)) for row in rows for state in which.states)
