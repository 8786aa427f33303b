"""Events as log records, by the standard library and by structlog."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from collections.abc import Callable, Iterator
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any

import pytest
import structlog

import steadypool.events
from steadypool import Retry, ThreadPool, task
from steadypool.durable.worker import events as durable
from steadypool.model import events
from steadypool.model.states import Outcome
from steadypool.sinks.logging import LEVELS, LoggingSink
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(DEBUG)
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)  # what cannot be formatted raises here
        self.all.append(record)

    def of(self, kind: str) -> list[Any]:
        return [record for record in self.all if record.kind == kind]  # type: ignore[attr-defined]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that keeps everything to itself."""
    logger = logging.Logger("test", DEBUG)
    yield logger
    logger.handlers.clear()


@pytest.fixture
def records(logger: logging.Logger) -> Records:
    records = Records()
    logger.addHandler(records)
    return records


def test_the_normal_is_quiet_and_failures_have_their_traceback(
    pool: Any, logger: logging.Logger, records: Records, tmp_path: Any
) -> None:
    pool.subscribe(LoggingSink(logger))
    pool.submit(task(jobs.same, id="fine", meta={"tenant": 1}), 1).result(WAIT)
    pool.submit(task(jobs.fail_deep, id="bad"), 2).exception(WAIT)
    again = task(jobs.fail_until, id="again", retry=Retry(2, backoff=0))
    pool.submit(again, str(tmp_path / "notes"), 2).result(WAIT)
    pool.drain(WAIT)
    levels = {kind: {record.levelno for record in records.of(kind)} for kind in ("JobSucceeded", "JobFailed")}
    assert levels == {"JobSucceeded": {DEBUG}, "JobFailed": {ERROR}}
    (failed,) = records.of("JobFailed")
    assert failed.getMessage().startswith("job bad (tests.pools.contract.jobs.fail_deep) failed in attempt 1, after ")
    assert "in fail_deep" in failed.exc_text and "ZeroDivisionError" in failed.exc_text
    facts = failed.pool, failed.job_id, failed.attempt, failed.outcome, failed.error_type
    assert facts == (pool.name, "bad", 1, "failed", "ZeroDivisionError")
    assert [record.meta for record in records.of("JobSucceeded")] == [{"tenant": 1}, None]
    (retrying,) = records.of("JobRetryScheduled")
    assert retrying.levelno == INFO and retrying.getMessage().endswith("OSError: call 1") and not retrying.exc_info
    assert {record.name for record in records.all} == {"test"}


@pytest.mark.usefixtures("patient_stacks")
def test_what_is_stuck_or_late_says_where(
    make_pool: Callable[..., Any], stage: Stage, logger: logging.Logger, records: Records
) -> None:
    pool = make_pool(1, cancel_grace=30)
    pool.submit(jobs.nothing).result(WAIT)  # or the limit might pass while its module is imported
    pool.subscribe(LoggingSink(logger))
    late, actor = stage.start(pool, fn=task(jobs.act, id="late", timeout=0.5))
    late.exception(WAIT)
    actor.tell("return")
    pool.drain(WAIT)
    (record,) = records.of("JobTimedOut")
    assert record.levelno == ERROR and "in act" in record.exc_text
    (told,) = records.of("JobStopRequested")
    assert told.cause == "timeout"


def test_levels_can_be_changed_and_what_is_too_quiet_is_not_made(
    pool: Any, logger: logging.Logger, records: Records
) -> None:
    logger.setLevel(WARNING)
    pool.subscribe(LoggingSink(logger, {events.JobSucceeded: WARNING}))
    pool.submit(jobs.nothing).result(WAIT)
    assert [record.kind for record in records.all] == ["JobSucceeded"]  # type: ignore[attr-defined]
    pool.drain(WAIT)


def test_as_json_through_a_formatter_of_structlog(pool: Any, logger: logging.Logger) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logger.addHandler(handler)
    pool.subscribe(LoggingSink(logger))
    pool.submit(task(jobs.fail, id="bad", name="the task")).exception(WAIT)
    pool.drain(WAIT)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (failed,) = [line for line in lines if line["kind"] == "JobFailed"]
    assert (failed["task"], failed["job_id"], failed["level"]) == ("the task", "bad", "error")
    assert "ValueError: it failed" in failed["exception"]


def test_with_a_logger_of_structlog(pool: Any) -> None:
    with structlog.testing.capture_logs() as logged:
        pool.subscribe(LoggingSink(structlog.get_logger()))
        pool.submit(task(jobs.fail, id="bad", name="the task")).exception(WAIT)
        pool.drain(WAIT)
    (failed,) = [entry for entry in logged if entry["event"] == "job failed"]
    assert (failed["task"], failed["job_id"], failed["log_level"]) == ("the task", "bad", "error")
    assert isinstance(failed["exc_info"], ValueError)
    assert "pool closing" in [entry["event"] for entry in logged]


def test_a_field_whose_name_records_have_already(logger: logging.Logger, records: Records) -> None:
    LoggingSink(logger)(durable.BatchFinished("w", 0.0, "batch-7", "import", 5, 1, 0))
    (record,) = records.of("BatchFinished")
    assert (record.name, record.name_, record.batch) == ("test", "import", "batch-7")
    assert record.getMessage() == "batch-7 (import) has finished: 5 completed, 1 failed, 0 cancelled"


def test_every_kind_of_event_has_a_level_and_a_text() -> None:
    bases = {events.Event, events.JobEvent, events.JobEnded}
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    assert set(LEVELS) == kinds - bases


def test_a_kind_of_event_that_it_does_not_know(logger: logging.Logger, records: Records) -> None:
    class LaterEvent(events.Event):
        """Of a later version, or of somebody's own."""

    LoggingSink(logger)(LaterEvent("p", 0.0))
    assert [record.getMessage() for record in records.all] == ["LaterEvent in pool p"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (events.PoolDraining("p", 0.0, None), "pool p drains, without a limit"),
        (events.PoolDraining("p", 0.0, 2.5), "pool p drains, within 2.5 s"),
        (events.JobProgressed("p", 0.0, "p-1", "t", 1, None, 3, None), "job p-1 (t) is at 3"),
        (events.JobProgressed("p", 0.0, "p-1", "t", 1, None, 3, 10), "job p-1 (t) is at 3 of 10"),
        (events.CapacityChanged("p", 0.0, 1, 2), "the capacity of pool p is 1, of 2 workers"),
        (
            events.JobStuck("p", 0.0, "p-1", "t", 1, None, '  File "a.py", line 1, in f\n    wait()\n'),
            'job p-1 (t) did not stop, and is left behind here:\n  File "a.py", line 1, in f\n    wait()',
        ),
    ],
)
def test_lines_for_people(logger: logging.Logger, records: Records, event: events.Event, line: str) -> None:
    LoggingSink(logger)(event)
    assert [record.getMessage() for record in records.all] == [line]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (durable.EngineAdvisory("vm-1", 0.0, "this SQLite can damage a file"), "note: this SQLite can damage a file"),
        (durable.WorkerRegistered("vm-1", 0.0, 7), "worker 'vm-1' is ready"),
        (durable.EngineFailed("vm-1", 0.0, OSError("gone"), 1.0), "OSError: gone; trying again"),
        (
            durable.JobsRecovered("vm-1", 0.0, ("vm-2", "vm-3"), 4, 1),
            "worker vm-2, vm-3 is gone, its lease has run out; jobs of it that run again: 4, that are discarded: 1",
        ),
        (
            durable.AttemptFailed(
                "w", 0.0, "job-1", "t", "q", 2, Outcome.TIMED_OUT, ValueError("no"), "a.py:1 in f", 10
            ),
            "job job-1 (t) timed out in attempt 2: ValueError: no at a.py:1 in f; it is retried in 10.0 s",
        ),
        (
            durable.JobGivenUp("w", 0.0, "i\x1bd", "t", "q", 1, Outcome.FAILED, ValueError("a\x1b[2J"), "", "no retry"),
            "job i\\x1bd (t) failed in attempt 1: ValueError: a\\x1b[2J; it is discarded: no retry",
        ),
    ],
)
def test_lines_of_a_durable_worker(logger: logging.Logger, records: Records, event: events.Event, line: str) -> None:
    LoggingSink(logger)(event)
    assert [record.getMessage() for record in records.all] == [line]


def test_every_durable_event_says_how_it_is_logged() -> None:
    for kind in vars(durable).values():
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event:
            assert kind.LOG.text, kind  # type: ignore[attr-defined]


_EVERY_EVENT = [getattr(steadypool.events, name) for name in steadypool.events.__all__]


def _made(kind: type[events.Event]) -> events.Event:
    """An event of that kind; each field has something in it that its line can show."""
    values: dict[str, Any] = {
        "outcome": Outcome.FAILED,
        "error": ValueError("no"),
        "meta": {"tenant": 1},
        "total": None,
        "workers": ("vm-2",),
    }
    return kind(**{field.name: values.get(field.name, 1) for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", _EVERY_EVENT, ids=steadypool.events.__all__)
def test_every_event_can_be_logged_whatever_its_fields_are_called(
    logger: logging.Logger, records: Records, kind: type[events.Event]
) -> None:
    event = _made(kind)
    LoggingSink(logger)(event)
    (record,) = records.of(kind.__name__)
    assert record.getMessage() and record.name == "test"
    with structlog.testing.capture_logs() as logged:
        LoggingSink(structlog.get_logger())(event)
    assert [entry["kind"] for entry in logged] == [kind.__name__]


def test_a_field_of_an_own_event_whose_name_records_or_entries_have(logger: logging.Logger, records: Records) -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Mine(events.Event):
        args: int
        message: int
        level: int
        event: int
        taskName: int
        mine: int

    event = Mine("p", 0.0, 1, 2, 3, 4, 5, 6)
    named = {"args_": 1, "message_": 2, "level_": 3, "event_": 4, "taskName_": 5, "mine": 6}
    LoggingSink(logger)(event)
    assert named.items() <= vars(records.all[0]).items()
    with structlog.testing.capture_logs() as logged:
        LoggingSink(structlog.get_logger())(event)
    assert named.items() <= logged[0].items()


def test_control_characters_of_a_job_do_not_reach_a_terminal(
    pool: Any, logger: logging.Logger, records: Records
) -> None:
    def fail() -> None:
        raise ValueError("\x1b]0;title\x07 two\nlines")

    pool.subscribe(LoggingSink(logger))
    pool.submit(task(fail, id="id\x1b[31m", name="a\rtask")).exception(WAIT)
    pool.drain(WAIT)
    (failed,) = records.of("JobFailed")
    assert failed.getMessage().startswith("job id\\x1b[31m (a\\rtask) failed")
    assert "\x1b" not in failed.exc_text and "\\x1b]0;title\\x07 two\nlines" in failed.exc_text
    assert failed.job_id == "id\x1b[31m", "a machine gets it as it is"


def test_an_error_that_cannot_be_shown(logger: logging.Logger, records: Records) -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError

    LoggingSink(logger)(events.JobRetryScheduled("p", 0.0, "p-1", "t", 1, None, Rude(), 0.5, 0.1))
    assert records.all[0].getMessage().endswith("Rude: <str() of the exception raised ValueError>")


@pytest.mark.parametrize(("arguments", "error"), [((3,), TypeError), (("log", {"JobFailed": 10}), ValueError)])
def test_what_makes_no_sense_is_told_at_once(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        LoggingSink(*arguments)


def test_the_logger_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(INFO, "steadypool"), ThreadPool(1, name="named") as pool:
        pool.subscribe(LoggingSink())
        pool.drain(WAIT)
    assert "pool named is closed (on time: True)" in caplog.messages
