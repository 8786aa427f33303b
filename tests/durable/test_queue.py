"""Enqueueing, handles, and changing jobs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import math
import pickle
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steadypool import (
    EngineBusy,
    EngineGone,
    JobState,
    PayloadRefused,
    Queue,
    ThreadPool,
    UnknownJob,
    WrongState,
)
from steadypool.durable.client.group_commit import _copy
from steadypool.durable.client.handle import JobHandle
from steadypool.durable.client.options import EnqueueOptions
from steadypool.durable.engine.records import JobFilter
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.durable.programs import Program
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


def test_a_durable_task_is_the_plain_function_and_a_task_like_any_other(queue: Queue) -> None:
    assert app.add(1, other=2) == 3
    assert pickle.loads(pickle.dumps(app.add)) is app.add
    with ThreadPool(1) as pool:
        assert pool.submit(app.add, 1, 2).result() == 3
        assert pool.submit(app.add.options(timeout=5), 1, 2).result() == 3


def test_the_handle_tells_where_the_job_is(queue: Queue) -> None:
    handle = app.add.enqueue(1, other=2)
    assert handle.enqueued and handle.state is JobState.AVAILABLE and handle.outcome is None
    assert handle.attempts == 0 and handle.errors == ()
    assert handle.record().payload == b'{"one":1,"other":2}'
    assert queue.get(handle.id).record() == handle.record() and handle.id == handle.job_id
    with pytest.raises(
        TimeoutError, match=r"\(available\); no worker is there to run it: start one with steadypool work"
    ):
        handle.result(0.01)
    queue.engine.register("w", 60.0, ["mail"])
    with pytest.raises(TimeoutError, match="no worker serves queue default: start one with --queue default"):
        handle.result(0.01)


def test_options_of_one_job(queue: Queue) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    handle = app.add.options(at=at, priority=5, queue="mail", id="mine").enqueue(1)
    found = handle.record()
    assert (found.id, found.priority, found.queue, found.state) == ("mine", 5, "mail", JobState.SCHEDULED)
    assert found.due_at == pytest.approx(at.timestamp())
    assert app.add.enqueue_options == EnqueueOptions()  # a copy was changed, not the task


def test_lengths_of_time_may_be_timedeltas(queue: Queue) -> None:
    task = app.add.options(
        delay=timedelta(minutes=1), unique="k", unique_for=timedelta(hours=1), keep=timedelta(days=2)
    )
    assert task.enqueue_options == EnqueueOptions(delay=60.0, unique="k", unique_for=3600.0, keep=172_800.0)
    limits = app.add.options(timeout=timedelta(seconds=5), total_timeout=timedelta(minutes=1)).task_options
    assert (limits.timeout, limits.total_timeout) == (5.0, 60.0)
    assert queue.task(name="late", delay=timedelta(seconds=60))(len).enqueue("a").state is JobState.SCHEDULED
    for wrong in (timedelta(seconds=-1), "5m"):
        with pytest.raises((TypeError, ValueError), match="delay must be"):
            app.add.options(delay=wrong)  # type: ignore[arg-type]


def test_a_job_that_would_be_given_up_before_it_may_run_is_refused(queue: Queue) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert app.add.options(at=soon, total_timeout=7200).enqueue(1).enqueued
    with pytest.raises(ValueError, match=r"at=.*, in 3,\d\d\d s, and total_timeout=60: the job would be given up"):
        app.add.options(at=soon, total_timeout=60).enqueue(1)
    with pytest.raises(ValueError, match="delay=120 and total_timeout=60"):
        queue.task(name="never", delay=120, total_timeout=60)(len)
    assert app.add.options(delay=120).options(total_timeout=math.inf).enqueue(1).enqueued


@pytest.mark.parametrize("name", ["delay", "apply_async", "send", "kiq", "defer"])
def test_who_comes_from_another_queue_is_told_the_word(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"has no '{name}': enqueue a job of it with enqueue\(\.\.\.\)"):
        getattr(app.add, name)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = app.add.nonsense  # type: ignore[attr-defined]


def test_options_among_the_arguments_are_told_where_they_belong(queue: Queue) -> None:
    hint = r"unexpected keyword argument.*options stand before it: \.options\(delay=5, id='a'\)\.enqueue\(\.\.\.\)"
    with pytest.raises(PayloadRefused, match=hint):
        app.add.enqueue(1, delay=5, id="a")  # type: ignore[call-overload]


def test_many_at_once_in_a_transaction_of_the_callers(queue: Queue, url: str) -> None:
    queue.engine.migrate()
    connection = sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0])
    rows = [(number,) for number in range(1500)]
    with pytest.raises(ZeroDivisionError), connection:
        queue.enqueue_many(app.add, rows, connection=connection)
        _ = 1 / 0
    assert not queue.list()
    with connection:
        handles = queue.enqueue_many(app.add, rows, connection=connection)
    connection.close()
    assert queue.stats().queues[0].available == len(handles) == 1500


def test_a_conflict_is_returned_not_raised(queue: Queue) -> None:
    first = app.add.options(unique="k").enqueue(1)
    again = app.add.options(unique="k", delay=5).enqueue(2)
    assert first.enqueued and not again.enqueued and again.job_id == first.job_id


def test_many_at_once_from_tuples_and_mappings(queue: Queue) -> None:
    rows: list[Any] = [*((number,) for number in range(1500)), {"one": 1, "other": 2}]
    handles = queue.enqueue_many(app.add, iter(rows))
    assert len({handle.job_id for handle in handles}) == 1501
    assert handles[-1].record().payload == b'{"one":1,"other":2}'


def test_many_at_once_says_which_row_does_not_fit(queue: Queue) -> None:
    with pytest.raises(PayloadRefused, match=r"row 1001: .*argument 'one'"):
        queue.enqueue_many(app.add, [*((number,) for number in range(1001)), ("x",)])
    assert queue.stats().queues[0].available == 1000  # the thousand before; nothing of its own
    with pytest.raises(TypeError, match="row 0 must be a tuple"):
        queue.enqueue_many(app.add, [5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a task of this queue"):
        queue.enqueue_many(len, [(1,)])  # type: ignore[arg-type]


@pytest.mark.every_engine
def test_many_threads_share_commits(queue: Queue) -> None:
    ids: list[str] = []

    def enqueue() -> None:
        ids.extend(app.add.enqueue(number).job_id for number in range(25))

    threads = [threading.Thread(target=enqueue) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert len(set(ids)) == 400 and queue.stats().queues[0].available == 400


def test_one_commit_takes_all_that_has_gathered_meanwhile(queue: Queue, engine_kind: EngineKind, url: str) -> None:
    app.add.enqueue(0)
    commits: list[int] = []
    writer = queue.writer
    put_many = writer._engine.put_many
    writer._engine.put_many = lambda jobs, **how: commits.append(len(jobs)) or put_many(jobs, **how)  # type: ignore[func-returns-value,method-assign]
    with engine_kind.hold(url):
        waiting = [writer.put_soon([app.add.new_job((number,), {})]) for number in range(100)]
    for future in waiting:
        future.result(WAIT)
    assert sum(commits) == 100 and len(commits) <= 2  # the first may have begun by itself
    writer._engine.put_many = put_many  # type: ignore[method-assign]


def test_who_could_not_be_answered_is_told_whether_it_may_have_happened(
    queue: Queue, engine_kind: EngineKind, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add.enqueue(0)
    queue.writer._engine.timeout = 0.05
    with engine_kind.hold(url), pytest.raises(EngineBusy, match=r"\(nothing was enqueued\)") as caught:
        app.add.enqueue(1)
    assert caught.value.nothing_happened
    queue.writer._engine.timeout = 5.0
    assert app.add.enqueue(2).enqueued and queue.stats().queues[0].available == 2


def test_a_commit_without_an_answer_may_have_happened() -> None:
    unknown = _copy(EngineGone("lost the connection"))
    assert "may or may not have been enqueued" in str(unknown) and isinstance(unknown, EngineGone)


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/nothing", "sqlite:////nowhere/at/all/jobs.db"])
def test_what_cannot_be_reached_has_put_nothing(url: str) -> None:
    with Queue(url) as queue, pytest.raises(EngineGone, match=r"\(nothing was enqueued\)"):
        queue.task(lambda: 1).enqueue()


@pytest.mark.every_engine
def test_a_signal_handler_in_the_middle_of_an_enqueue_may_enqueue(
    queue: Queue, engine_kind: EngineKind, url: str
) -> None:
    app.add.enqueue(0)
    held = contextlib.ExitStack()
    handles: list[JobHandle[int]] = []

    def handle(number: int, frame: object) -> None:
        held.close()
        handles.append(app.add.enqueue(1))

    before = signal.signal(signal.SIGUSR1, handle)
    held.enter_context(engine_kind.hold(url))

    def send() -> None:
        while not queue.writer._turn.locked():
            threading.Event().wait(0.001)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    threading.Thread(target=send, daemon=True).start()
    try:
        assert app.add.enqueue(2).enqueued and handles[0].enqueued
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert queue.stats().queues[0].available == 3


def test_ctrl_c_in_the_middle_of_an_enqueue_breaks_nothing(queue: Queue) -> None:
    """Whenever it comes: what had returned is there, others go on, and so does this thread."""
    program = Program("tests.durable.programs", "interrupted", "100")
    out, err = program.process.communicate(timeout=WAIT * 2)
    assert program.process.returncode == 0, err
    interrupts, enqueued = map(int, out.split())
    assert interrupts >= 100 and queue.stats().queues[0].available >= enqueued


def test_from_asyncio(queue: Queue) -> None:
    async def main() -> list[str]:
        with pytest.raises(RuntimeError, match=r"await add[.]enqueue_async"):
            app.add.enqueue(1)
        handles = await asyncio.gather(*(app.add.enqueue_async(number) for number in range(50)))
        return [handle.job_id for handle in handles]

    assert len(set(asyncio.run(main()))) == 50


def test_changing_jobs(queue: Queue) -> None:
    handle = app.add.enqueue(1)
    assert handle.cancel() and handle.state is JobState.CANCELLED and not handle.cancel()
    queue.retry(handle.job_id)
    assert handle.state is JobState.AVAILABLE
    with pytest.raises(WrongState, match="nothing to retry"):
        queue.retry(handle.job_id)
    queue.discard(handle.job_id, "no use")
    assert handle.record().reason == "no use"
    with pytest.raises(WrongState, match="discarded"):
        queue.discard(handle.job_id)
    for change in (queue.cancel, queue.retry, queue.discard, queue.get):
        with pytest.raises(UnknownJob, match="job-999"):
            change("job-999")
    with pytest.raises(TypeError, match="'job-7'"):
        queue.get(7)  # type: ignore[arg-type]


def test_a_retry_whose_key_is_taken_is_told(queue: Queue) -> None:
    handle = app.add.options(unique="k").enqueue(1)
    handle.cancel()
    app.add.options(unique="k").enqueue(2)
    with pytest.raises(WrongState, match="unique key"):
        queue.retry(handle.job_id)


def test_listing(queue: Queue) -> None:
    handles = [app.add.enqueue(number) for number in range(3)]
    assert [record.id for record in queue.list()] == [handle.job_id for handle in handles[::-1]]
    assert queue.list(JobFilter(task="nothing")) == queue.list(task="nothing") == queue.list(queue="other") == []
    assert [record.id for record in queue.list(limit=1)] == [handles[-1].job_id]
    handles[0].cancel()
    assert [record.id for record in queue.list(state="cancelled")] == [handles[0].job_id]
    for bad in ({"state": "done"}, {"limit": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            queue.list(**bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="queue must be a non-empty str such as 'mail', not 5"):
        queue.pause(5)  # type: ignore[arg-type]


def test_a_closed_queue_opens_again(queue: Queue) -> None:
    first = app.add.enqueue(1)
    queue.close()
    queue.close()
    with queue as same:
        second = app.add.enqueue(2)
    assert same is queue and first.state is second.state is JobState.AVAILABLE


def test_the_address_may_come_from_the_environment_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queue = Queue()
    monkeypatch.delenv("STEADYPOOL_URL", raising=False)
    with pytest.raises(ValueError, match="has no address"):
        queue.stats()
    monkeypatch.setenv("STEADYPOOL_URL", f"sqlite:///{tmp_path}/jobs.db")
    assert queue.task(lambda: 1).enqueue().enqueued
    queue.close()


WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"dealy": 5}, 'did you mean "delay"'),
    ({"delay": -1}, "0 or more"),
    ({"delay": "soon"}, "number of seconds"),
    ({"delay": 1, "at": 5.0}, "not both"),
    ({"at": datetime(2026, 1, 1)}, "no time zone"),
    ({"at": "noon"}, "a datetime"),
    ({"unique": ""}, "non-empty str"),
    ({"unique_for": 5}, "give unique, too"),
    ({"queue": ""}, "non-empty str"),
    ({"keep": None}, "kept for ever"),
    ({"aliases": ["old"]}, 'unknown option "aliases"'),
    (
        {"delay": 120, "total_timeout": 60},
        "delay=120 and total_timeout=60: the job would be given up before it may run",
    ),
    ({"delay": timedelta(minutes=2), "total_timeout": timedelta(minutes=2)}, "total_timeout is counted from"),
    ({"name": "other"}, "the worker finds the task by it"),
    ({"meta": {"x": object()}}, "JSON can carry"),
]


@pytest.mark.parametrize(("options", "says"), WRONG_OPTIONS)
def test_options_that_make_no_sense(queue: Queue, options: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        app.add.options(**options)


@pytest.mark.parametrize(
    ("options", "says"), [({"id": "job-7"}, "given by the queue"), ({"priority": 2**40}, "at most")]
)
def test_values_that_the_database_has_no_room_for(queue: Queue, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        app.add.options(**options).enqueue(1)


def count_up(end: int) -> Iterator[int]:
    yield from range(end)


async def count_up_async(end: int) -> AsyncIterator[int]:
    yield end


def test_a_wrapper_written_in_c(queue: Queue) -> None:
    @functools.cache
    def double(number: int, connection: int = 0) -> int:
        return number * 2

    handle = queue.task(name="double")(double).enqueue(number=2, connection=3)
    queue.work(kind="thread", workers=1, until_empty=True)
    assert handle.result(WAIT) == 4


def test_what_cannot_be_a_task() -> None:
    queue = Queue("sqlite:///jobs.db")
    with pytest.raises(TypeError, match="needs a function"):
        queue.task(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="generator function"):
        queue.task(count_up)
    with pytest.raises(TypeError, match="generator function"):
        queue.task(count_up_async)
    with pytest.raises(TypeError, match="parameters of <built-in function max>"):
        queue.task(name="max")(max).enqueue(1, 2)
    with pytest.raises(TypeError, match="durable task already"):
        queue.task(queue.task(lambda: 1))
    queue.task(name="taken")(app.add.fn)
    with pytest.raises(ValueError, match="a name of its own"):
        queue.task(name="taken")(test_listing)


def test_a_queue_that_nobody_refers_to_leaves_nothing_open(tmp_path: Path) -> None:
    queue = Queue(f"sqlite:///{tmp_path}/jobs.db")
    task = queue.task(lambda: 1)
    task.enqueue()
    queue.close()
    assert not list(tmp_path.glob("*-wal"))
    del queue, task
    gc.collect()


def test_a_relative_address_is_that_of_the_folder_in_which_the_queue_was_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However it was given: a program, or a job, may go elsewhere before the first use and after it."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEADYPOOL_URL", "sqlite:///a folder/jobs%20db?synchronous=NORMAL")
    (tmp_path / "a folder").mkdir()
    given, found, told = Queue("sqlite:///a folder/jobs%20db?synchronous=NORMAL"), Queue(), Queue()
    monkeypatch.chdir(tmp_path / "elsewhere")
    told.use_address("sqlite:///a folder/jobs%20db?synchronous=NORMAL")
    for queue in (given, found, told, pickle.loads(pickle.dumps(given))):
        assert queue.url.endswith("/a folder/jobs%20db?synchronous=NORMAL")
        queue.task(lambda: 1).enqueue()
        monkeypatch.chdir(tmp_path)
        assert queue.stats().queues[0].available
        queue.close()
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert [file.name for file in tmp_path.rglob("jobs*db")] == ["jobs db"]
    monkeypatch.chdir(tmp_path)
    with Queue("sqlite:///a folder/jobs%20db") as queue:
        assert queue.stats().queues[0].available == 4


def test_a_queue_is_open_at_one_address_until_it_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Queue() as queue:
        task = queue.task(lambda: 1)
        for name in ("a", "b"):
            monkeypatch.setenv("STEADYPOOL_URL", f"sqlite:///{tmp_path}/{name}.db")
            queue.engine.migrate()
            monkeypatch.setenv("STEADYPOOL_URL", f"sqlite:///{tmp_path}/other.db")
            assert task.enqueue().state is JobState.AVAILABLE
            queue.close()
    assert sorted(file.name for file in tmp_path.glob("*.db")) == ["a.db", "b.db"]


def test_a_relative_address_in_a_folder_that_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ValueError, match="give an address that is absolute"):
        Queue("sqlite:///jobs.db")
    assert Queue(f"sqlite:///{tmp_path}/jobs.db").stats
    monkeypatch.undo()


def test_a_retry_of_a_job_that_fails_again_at_once(queue: Queue) -> None:
    job = app.odd.enqueue(2).job_id
    with Working(queue) as working:
        for again in range(1, 30):
            working.wait_for("JobGivenUp", again)
            while queue.record(job).state is not JobState.DISCARDED:
                pass  # the event comes before it is written down
            queue.retry(job)
