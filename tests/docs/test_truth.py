"""What the documents say of the code is so: tables, names, links."""

from __future__ import annotations

import builtins
import concurrent.futures
import dataclasses
import inspect
import json
import re
from typing import Any

import click
import pytest

import steadypool
import steadypool.testing
from steadypool import (
    DrainReport,
    ErrorGroup,
    JobContext,
    JobFuture,
    Outcome,
    PoolState,
    PoolStats,
    ProcessPool,
    Retry,
    ThreadPool,
    sinks,
)
from steadypool.cli import exit_codes
from steadypool.cli.app import COMMANDS
from steadypool.cli.kinds import KINDS
from steadypool.contrib import asgi, web
from steadypool.contrib import django as contrib_django
from steadypool.contrib.django import testing as django_testing
from steadypool.contrib.status import StatusPages
from steadypool.durable.client import options as enqueueing
from steadypool.durable.engine.states import MOVES as JOB_MOVES
from steadypool.durable.worker import events as durable_events
from steadypool.model import errors, events, health, options, reports
from steadypool.model.states import MOVES
from steadypool.sinks import logging, opentelemetry, prometheus
from tests.docs.pages import OTHERS, PAGES, README, REFERENCE, ROOT, Page, names_in, page
from tests.docs.test_blocks import command_called

EVERY = [pytest.param(p, id=p.name) for p in [*PAGES, *REFERENCE, *OTHERS]]
WORDS = (
    steadypool, sinks, asgi, errors, events, durable_events, health, options, reports, logging, opentelemetry,
    prometheus, builtins, concurrent.futures, steadypool.testing, web, contrib_django, django_testing,
)  # fmt: skip
ELSEWHERE = frozenset(
    {
        # the standard library's
        "Condition", "ExceptionGroup", "KillMode", "ProcessPoolExecutor", "ThreadPoolExecutor",
        "AsyncMock", "TimeoutStopSec", "ZoneInfo",
        # other libraries'
        "ProcessorFormatter", "ExtraAdder", "TestClient", "TestCase", "TransactionTestCase", "TaskContext",
        "DispatcherMiddleware",
        "AsyncResult", "BackgroundScheduler", "BrokenProcessPool", "CronTrigger", "CurrentMessage",
        "BucketRateLimiter", "ConcurrentRateLimiter",
        "FailedJobRegistry", "IntervalTrigger", "TerminatedWorkerError", "WorkerSettings",
        # our own, behind the doors
        "AsyncGroup", "Bell", "CallbackThread", "DrainOnSignal", "Group", "JobQueue", "UserCalls", "JobRecord",
        "DjangoSession", "DjangoStore",
    }
)  # fmt: skip


# -- events


def event_classes() -> dict[str, type[events.Event]]:
    return {n: c for n, c in vars(events).items() if isinstance(c, type) and issubclass(c, events.Event)}


def own_fields(cls: type[Any]) -> list[str]:
    inherited = {f.name for base in cls.__mro__[1:] if dataclasses.is_dataclass(base) for f in dataclasses.fields(base)}
    return [f.name for f in dataclasses.fields(cls) if f.name not in inherited]


def test_every_event_is_in_the_docs_with_its_fields() -> None:
    bases = {names_in(row[0])[0]: names_in(row[2]) for row in page("events").table("event-bases")}
    rows = [row for table in page("events").tables("events") for row in table]
    named = {names_in(name)[0]: names_in(fields) for name, _, fields in rows}
    assert len(named) == len(rows)
    assert bases | named == {name: own_fields(cls) for name, cls in event_classes().items()}


def test_every_durable_event_is_in_the_docs_with_its_fields() -> None:
    rows = page("events").table("durable-events")
    classes = {n: c for n, c in vars(durable_events).items() if isinstance(c, type) and issubclass(c, events.Event)}
    known = {name: cls for name, cls in classes.items() if cls is not events.Event}
    assert {names_in(name)[0]: names_in(fields) for name, _, fields in rows} == {
        name: own_fields(cls) for name, cls in known.items()
    }


def test_the_states_of_a_durable_job() -> None:
    rows = page("durable").table("job-states")
    every = {state.value for state in JOB_MOVES}
    for name, _, to in rows:
        said = every - set(names_in(name)) if to == "all others" else set(names_in(to))
        assert said == {state.value for state in JOB_MOVES[steadypool.JobState(names_in(name)[0])]}, name
    assert {names_in(name)[0] for name, _, _ in rows} == every


def test_the_options_of_enqueueing() -> None:
    rows = page("durable").table("enqueue-options")
    assert {names_in(row[0])[0] for row in rows} == enqueueing.ENQUEUE_NAMES


def test_job_events_stand_under_jobs() -> None:
    jobs, pools = page("events").tables("events")
    of_a_job = {name for name, cls in event_classes().items() if issubclass(cls, events.JobEvent)} | {"JobRejected"}
    assert {names_in(row[0])[0] for row in jobs} == of_a_job - {"JobEvent", "JobEnded"}
    assert len(pools) + len(of_a_job) + 1 == len(event_classes())
    assert len(events.ENDINGS) == len(Outcome) == 7


# -- states and outcomes


def test_the_states() -> None:
    moves = {row[0].strip("`"): set(names_in(row[2])) for row in page("lifecycle").table("states")}
    assert moves == {state.name: {to.name for to in MOVES[state]} for state in PoolState}


def test_the_outcomes() -> None:
    rows = page("lifecycle").table("outcomes")
    assert [names_in(row[0])[0] for row in rows] == [outcome.name for outcome in Outcome]
    given = {names_in(row[0])[0]: [n for n in names_in(row[2]) if hasattr(errors, n)] for row in rows}
    assert given == {
        "SUCCEEDED": [],
        "FAILED": ["JobExit", "RemoteError"],
        "TIMED_OUT": ["JobTimeout"],
        "CANCELLED": ["JobCancelled"],
        "CRASHED": ["WorkerCrashed"],
        "RETURNED": ["JobCancelled"],
        "INTERRUPTED": ["JobCancelled"],
    }


def test_the_books() -> None:
    text = page("lifecycle").text
    [identity] = re.findall(r"^accepted == (.*?)\n```", text, re.MULTILINE | re.DOTALL)
    terms = [term.strip() for term in identity.split("+")]
    assert terms == ["waiting", "running", "retrying", *(outcome.value for outcome in Outcome)]
    for record in (PoolStats, DrainReport):
        for field in dataclasses.fields(record):
            assert f"`{field.name}`" in text or field.name in terms, f"{record.__name__}.{field.name}"
    for field in dataclasses.fields(ErrorGroup):
        assert f"`{field.name}`" in page("quickstart").text


@pytest.mark.parametrize("row", [reports.UnfinishedJob, reports.InterruptedJob, reports.StuckJob, reports.WorkerStats])
def test_the_rows_of_the_books(row: type[Any]) -> None:
    for field in dataclasses.fields(row):
        assert f"`{field.name}`" in page("lifecycle").text


# -- looking at a running pool


def test_the_reasons_of_health() -> None:
    rows = page("live").table("reasons")
    assert [names_in(row[0])[0].strip('"') for row in rows] == list(health.HealthReason)
    assert {names_in(row[0])[0].strip('"') for row in rows if row[2] == "no"} == health.FATAL
    for field in dataclasses.fields(health.Health):
        assert f"`{field.name}`" in page("live").text


def test_the_paths_of_the_status_server() -> None:
    pages = StatusPages((ThreadPool(1),), None, "127.0.0.1")
    assert {names_in(row[0])[0] for row in page("live").table("paths")} | {"/"} == set(pages._pages)


# -- settings and options


def test_the_settings() -> None:
    rows = page("quickstart").table("settings")
    for pool, kind in ((ThreadPool, "threads"), (ProcessPool, "processes")):
        said = {names_in(row[0])[0]: names_in(row[1])[0] for row in rows if kind in row[2]}
        taken = {name: as_written(p.default) for name, p in inspect.signature(pool).parameters.items()}
        assert said == taken


def as_written(default: object) -> str:
    return json.dumps(default) if isinstance(default, str) else str(default)


def test_the_options_of_a_task() -> None:
    text = page("quickstart").text
    for field in dataclasses.fields(options.TaskOptions):
        assert not field.init or f"| `{field.name}` |" in text
    assert f"`Retry({', '.join(field.name for field in dataclasses.fields(Retry))})`" in text


# -- the command line


def command_options(command: click.Command) -> dict[tuple[str, ...], Any]:
    return {tuple(p.opts): p for p in command.params if isinstance(p, click.Option)}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_options_of_a_command(name: str) -> None:
    rows = page("command-line").table(f"options: {name}")
    known = command_options(command_called(name))
    assert {tuple(names_in(row[0])) for row in rows} == set(known)
    for row in rows:
        default = known[tuple(names_in(row[0]))].default
        if names_in(row[1]):
            assert names_in(row[1]) == [str(default)]
        else:
            assert isinstance(default, bool) or not isinstance(default, int | float | str), row


def test_the_kinds_of_the_command_line() -> None:
    assert [names_in(row[0])[0] for row in page("command-line").table("kinds")] == list(KINDS)


def test_the_exit_codes() -> None:
    said = {int(row[0]) for row in page("command-line").table("exit-codes")}
    known = {exit_codes.DONE, exit_codes.SOME_FAILED, exit_codes.UsageError.exit_code, exit_codes.INTERRUPTED, 143}
    assert said == known | {exit_codes.CLOSED_PIPE}


# -- names, links, sizes


@pytest.mark.parametrize("page", EVERY)
def test_names_in_the_text_exist(page: Page) -> None:
    for code in page.codes():
        name = re.match(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", code)
        if name is not None and "=" not in code:
            assert name[0] in ELSEWHERE or any(hasattr(place, name[0]) for place in WORDS), code
        method = re.match(r"(pool|future|report|stats|current_job\(\))\.(\w+)", code)
        if method is not None:
            assert any(hasattr(thing, method[2]) for thing in OBJECTS[method[1]]), code


OBJECTS: dict[str, list[object]] = {
    "pool": [ThreadPool, ProcessPool, steadypool.AsyncPool],
    "future": [JobFuture, steadypool.AsyncJobFuture],
    "report": [DrainReport],
    "stats": [PoolStats],
    "current_job()": [JobContext()],
}
"""What an example in the text is called, and what it then is."""


@pytest.mark.parametrize("name", steadypool.__all__)
def test_every_public_name_is_in_the_docs(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", p.text) for p in PAGES)


@pytest.mark.parametrize("kind", [ThreadPool, ProcessPool, JobFuture, JobContext])
def test_every_public_method_is_in_the_docs(kind: type[Any]) -> None:
    inherited = {*vars(concurrent.futures.Future), *vars(concurrent.futures.Executor)}
    text = "\n".join(p.text for p in PAGES)
    for name in dir(kind):
        if not name.startswith("_") and name not in inherited:
            assert re.search(rf"\b{name}\b", text), f"{kind.__name__}.{name}"


@pytest.mark.parametrize("page", EVERY)
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links():
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.path if not path else (page.path.parent / path).resolve()
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors(), link


@pytest.mark.parametrize("name", ["architecture", "inside"])
def test_the_files_that_it_names_exist(name: str) -> None:
    source = ROOT / "src" / "steadypool"
    for code in page(name).codes():
        if re.fullmatch(r"[\w/.-]+(\.(py|sql|toml|md)|/)", code) or code.startswith("tests/"):
            assert (source / code).exists() or (ROOT / code).exists(), code


def test_the_readme_is_short() -> None:
    assert len(README.text.splitlines()) < 120


@pytest.mark.parametrize("page", EVERY)
def test_a_page_is_tidy(page: Page) -> None:
    assert page.text.startswith("# ") and page.text.endswith("\n") and not page.text.endswith("\n\n")
    for number, line in enumerate(page.text.splitlines(), 1):
        assert line == line.rstrip(), number
        seen = re.sub(r"<!-- n:\w+ -->", "", line)
        assert len(seen) <= 120 or line.startswith("|") or "](" in line, f"line {number} is longer than 120"
