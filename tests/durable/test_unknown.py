"""Deploys: jobs of tasks, and with arguments, that a worker does not know."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadypool import JobState, Queue, Retry, WorkerSettings
from steadypool.durable.worker import unknown_tasks
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.every_engine


@pytest.fixture
def old(url: str) -> Iterator[Queue]:
    """The queue as a program of an old version has it."""
    with Queue(url) as queue:
        yield queue


@pytest.fixture
def new(url: str) -> Iterator[Queue]:
    """And as one of a new version has it."""
    with Queue(url) as queue:
        yield queue


def test_jobs_of_a_task_that_was_deleted_are_in_nobodys_way(old: Queue, new: Queue) -> None:
    handles = old.enqueue_many(old.task(name="export")(number_in), [(str(n),) for n in range(5000)])
    mail = new.task(name="mail")(len)
    with Working(new, workers=1) as working:
        assert mail.enqueue("abc").result(WAIT) == 3
        told = [event for event in working.all("TaskUnknown") if event.task == "export"]
        assert told and told[0].hint == "; its queue knows mail"
    assert handles[0].state is handles[-1].state is JobState.SCHEDULED
    assert working.report is not None and working.report.completed == 1
    assert {record.attempt for record in new.list(task="export", limit=5000)} == {0}


def test_a_worker_that_knows_the_task_finds_them_all(old: Queue, new: Queue) -> None:
    task = new.task(name="export")(number_in)
    handles = new.enqueue_many(task, [(str(n),) for n in range(250)])
    old.task(name="mail")(len)
    with Working(old, workers=1) as first:
        first.wait_for("TaskUnknown")
        with Working(new, workers=1, name="newer"):  # while the other one is there, and sets them aside again
            assert handles[249].result(WAIT) == 249
    assert new.work(kind="thread", until_empty=True).ok
    assert [handle.result(0) for handle in handles] == list(range(250))
    assert {handle.attempts for handle in handles} == {1}


def test_until_empty_looks_for_what_was_set_aside(old: Queue, new: Queue) -> None:
    handles = new.enqueue_many(new.task(name="export")(number_in), [(str(n),) for n in range(250)])
    old.work(kind="thread", until_empty=True)
    assert {handle.state for handle in handles} == {JobState.SCHEDULED}
    assert new.work(kind="thread", until_empty=True).completed == 250


def test_what_no_worker_knows_for_long_is_given_up(old: Queue, new: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_tasks, "GIVE_UP_EVERY", 0.1)
    handle = old.task(name="export")(number_in).enqueue("1")
    with Working(new, workers=1, give_up_unknown=0.001) as working:
        event = working.wait_for("TaskForgotten")
    assert (event.task, event.jobs, event.reason) == ("export", 1, "no worker has known its task for 0.001 s")
    assert handle.state is JobState.DISCARDED and handle.record().reason == event.reason
    assert WorkerSettings().give_up_unknown == 30 * 86_400 and WorkerSettings(give_up_unknown=None)
    with pytest.raises(ValueError, match="give_up_unknown must be greater than 0"):
        WorkerSettings(give_up_unknown=0)


def number_in(text: str) -> int:
    return int(text)


def send(to: str) -> str:
    return to


def send_in(to: str, locale: str = "en") -> str:
    return f"{to} {locale}"


def send_two(to: str, subject: str) -> str:
    return f"{to} {subject}"


def send_number(to: int) -> int:
    return to


OTHER_VERSIONS: dict[str, tuple[Any, tuple[Any, ...], Any]] = {
    "an argument that the old version does not have": (send_in, ("a", "de"), send),
    "one that the new version demands": (send, ("a",), send_two),
    "one of another type": (send, ("a",), send_number),
}


@pytest.mark.parametrize(
    ("kind", "version"),
    [*(("thread", version) for version in OTHER_VERSIONS.values()), ("process", next(iter(OTHER_VERSIONS.values())))],
    ids=[*OTHER_VERSIONS, "in a process"],
)
def test_arguments_of_another_version_go_back_unspent(old: Queue, new: Queue, kind: str, version: Any) -> None:
    theirs, args, ours = version
    handles = new.enqueue_many(new.task(name="send", retry=Retry(5))(theirs), [args] * 60)
    old.task(name="send", retry=Retry(5))(ours)
    with Working(old, kind, workers=1) as working:
        event = working.wait_for("ArgumentsUnknown", len(handles))
        assert "do not fit" in str(event.error) and event.delay == 30
    for handle in handles:
        found = handle.record()
        assert (found.state, found.attempt, found.crashes) == (JobState.SCHEDULED, 0, 0)
        assert [error.outcome for error in found.errors] == ["returned"] and "do not fit" in found.errors[0].message
    assert not working.all("AttemptFailed") and not working.all("JobGivenUp")
    new.retry(handles[0].id)
    new.work(kind="thread", until_empty=True)
    assert handles[0].result(0) == theirs(*args) and handles[0].attempts == 1


def test_what_no_worker_can_call_for_long_is_given_up(old: Queue, new: Queue) -> None:
    handle = new.task(name="send")(send_in).enqueue("a", "de")
    old.task(name="send")(send)
    for _ in range(2):
        with Working(old, workers=1, give_up_unknown=None) as patient:
            patient.wait_for("ArgumentsUnknown")
        old.retry(handle.id)
    assert [error.outcome for error in handle.record().errors] == ["returned"]
    with Working(old, workers=1, give_up_unknown=0.001) as working:
        event = working.wait_for("JobGivenUp")
    found = handle.record()
    assert found.state is JobState.DISCARDED and "do not fit" in found.errors[-1].message
    assert found.reason == event.reason == "no worker could call its task with its arguments for 0.001 s"
    old.retry(handle.id)  # by hand: its time begins anew
    with Working(old, workers=1, give_up_unknown=3600) as again:
        again.wait_for("ArgumentsUnknown")
    assert [error.outcome for error in handle.record().errors][-2:] == ["failed", "returned"]


def test_a_flood_of_them_lets_others_pass(old: Queue, new: Queue) -> None:
    handles = new.enqueue_many(new.task(name="send")(send_in), [("a", "de")] * 3000)
    old.task(name="send")(send)
    mail = old.task(name="mail")(len).enqueue("abc")
    with Working(old, workers=1):
        assert mail.result(WAIT) == 3
    ended = mail.record().ended_at or 0.0
    back = [record.due_at - 30 for record in old.list(task="send", limit=3000) if record.due_at is not None]
    assert sum(moment < ended for moment in back) < 2000
    new.work(kind="thread", workers=2, until_empty=True)  # those that the old one had no time for
    states = [handle.state for handle in handles[::100]]
    assert set(states) <= {JobState.SCHEDULED, JobState.COMPLETED} and states[-1] is JobState.COMPLETED


def test_a_default_does_for_what_an_older_version_has_not_given(old: Queue, new: Queue) -> None:
    handle = old.task(name="send")(send).enqueue("a")
    new.task(name="send")(send_in)
    new.work(kind="thread", until_empty=True)
    assert handle.result(0) == "a en"


def test_a_process_that_has_not_the_task_any_more_gives_its_jobs_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a running worker are replaced: its new processes import what is there now."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    source = "from steadypool import Queue\nqueue = Queue()\n@queue.task\ndef send(n: int) -> int: return n\n"
    for source_now in ("queue = None\n", "raise ValueError('half a deploy')\n"):
        (tmp_path / "of_a_deploy.py").write_text(source)
        monkeypatch.setenv("STEADYPOOL_URL", url)
        importlib.invalidate_caches()
        module = importlib.import_module("of_a_deploy")
        (tmp_path / "of_a_deploy.py").write_text(source_now)
        handles = module.queue.enqueue_many(module.send, [(n,) for n in range(30)])
        with Working(module.queue, "process", workers=1) as working:
            event = working.wait_for("ArgumentsUnknown", len(handles))
        assert "of_a_deploy:send cannot be had in this process of the worker: " in str(event.error)
        assert {(handle.state, handle.attempts) for handle in handles} == {(JobState.SCHEDULED, 0)}
        module.queue.close()
        monkeypatch.delitem(sys.modules, "of_a_deploy")
