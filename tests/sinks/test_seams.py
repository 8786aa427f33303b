"""What a sink may do besides taking events."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import ProcessPool, Retry, task
from steadypool.model.events import Event, JobEvent, JobStarted
from tests.pools.contract import jobs
from tests.pools.contract.kinds import Kind
from tests.pools.contract.stage import WAIT
from tests.sinks.carried import CannotBeLoaded, Note, here, look, refuse


def test_a_job_sees_what_a_sink_sets_when_it_starts(kind: Kind, make_pool: Callable[..., Any]) -> None:
    def sink(event: Event) -> None:
        if isinstance(event, JobStarted):
            here.set(f"attempt {event.attempt}")

    pool = make_pool(1)
    pool.subscribe(sink)
    expected = "nothing" if kind.name == "processes" else "attempt 1"
    assert [pool.submit(look).result(WAIT) for _ in range(2)] == [expected] * 2
    assert here.get() == "nothing"


def test_a_sink_sees_what_the_submitter_has_set(kind: Kind, make_pool: Callable[..., Any], tmp_path: Any) -> None:
    seen: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, JobStarted):
            seen.append(here.get())
            here.set("the attempt before")

    pool = make_pool(1)
    pool.subscribe(sink)
    token = here.set("the submitter's")
    pool.submit(task(jobs.fail_until, retry=Retry(2, backoff=0)), str(tmp_path / "notes"), 2).result(WAIT)
    here.reset(token)
    assert len(seen) == 2 and len(set(seen)) == 1
    if kind.name != "asyncio":  # there the submitter is on the loop, in another thread than this
        assert seen[0] == "the submitter's"


class Sender:
    """A sink that sends something along."""

    def __init__(self, what: Any) -> None:
        self.what = what
        self.asked: list[JobEvent] = []

    def __call__(self, event: Event) -> None:
        """Not of interest."""

    def carry(self, job: JobEvent) -> Any:
        self.asked.append(job)
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


def test_what_is_sent_along_is_done_in_the_worker_before_the_job(tmp_path: Any) -> None:
    sender, silent = Sender(Note("sent along")), Sender(None)
    with ProcessPool(1) as pool:
        pool.subscribe(silent)
        unsubscribe = pool.subscribe(sender)
        futures = [pool.submit(look), pool.submit(task(look, id="a", meta={"m": 1}, timeout=WAIT))]
        assert [future.result(WAIT) for future in futures] == ["sent along"] * 2
        assert list(pool.map(jobs.same, ["x" * 50_000, 3], chunksize=2))[1] == 3
        assert pool.submit(jobs.job_facts).result(WAIT)[1:] == ("tests.pools.contract.jobs.job_facts", 1, {})
        unsubscribe()
        assert pool.submit(look).result(WAIT) == "nothing"
        assert pool.stats().sink_errors == 0
    asked = {job.job_id: job for job in sender.asked}
    assert (asked["a"].pool, asked["a"].attempt, asked["a"].meta) == (pool.name, 1, {"m": 1})


@pytest.mark.parametrize("what", [refuse, CannotBeLoaded()])
def test_what_fails_in_the_worker_is_not_the_job_s(what: Any, capfd: pytest.CaptureFixture[str]) -> None:
    # Spawned, since a forkserver that was started before has another standard error than the one that is captured.
    with ProcessPool(1, multiprocessing.get_context("spawn")) as pool:
        pool.subscribe(Sender(what))
        assert pool.submit(look).result(WAIT) == "nothing"
    assert "LookupError: told to fail" in capfd.readouterr().err


@pytest.mark.parametrize("what", [LookupError("a broken sink"), threading.Lock().acquire])
def test_a_sink_that_cannot_send_is_muted_and_counted(what: Any) -> None:
    with ProcessPool(1) as pool:
        pool.subscribe(Sender(what))
        assert pool.submit(look).result(WAIT) == "nothing"
        assert pool.stats().sink_errors == 1


class Looker:
    """A sink that looks at pools."""

    def __init__(self) -> None:
        self.pools: list[Any] = []

    def __call__(self, event: Event) -> None:
        """Not of interest."""

    def watch(self, pool: Any) -> None:
        self.pools.append(pool)

    def unwatch(self, pool: Any) -> None:
        self.pools.remove(pool)


def test_a_sink_may_look_at_the_books(pool: Any) -> None:
    looker = Looker()
    unsubscribe = pool.subscribe(looker)
    pool.submit(jobs.same, 1).result(WAIT)
    (found,) = looker.pools
    assert (found.name, found.stats().succeeded) == (pool.name, 1)
    unsubscribe()
    unsubscribe()
    assert looker.pools == []
