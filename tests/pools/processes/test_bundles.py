"""Jobs that travel together are jobs all the same: what befalls one of them befalls no other."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from steadypool import JobExit, JobTimeout, Outcome, WorkerCrashed, current_job, task
from steadypool.model import events
from steadypool.pools.processes.ipc.wire import sending
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.contract.watch import Watch
from tests.pools.processes import deeds
from tests.pools.processes.methods import on_each_parent
from tests.pools.processes.test_chunk_races import hold_up, wait_for_rest
from tests.pools.processes.test_chunks import fork_at
from tests.pools.processes.warming import as_if_jobs_took_no_time, warm
from tests.races.arena import switching_every

MakePool = Callable[..., Any]


def send_together(pool: Any, *calls: tuple[Any, ...]) -> list[Any]:
    """Submit these while nobody hands jobs to workers; the futures, once those have got what they get."""
    workers, fleet = pool._workers, pool._workers.fleet
    if not fleet.packets:
        pytest.skip("what is in a stream cannot be taken back, so that each job travels alone")
    with workers.pump._lock:
        futures = [pool.submit(*call) for call in calls]
        as_if_jobs_took_no_time(pool)
    fleet.look_again()
    return futures


def travelled_with(future: Any, futures: list[Any]) -> list[Any]:
    """Those that were in one packet with it."""
    return [other for other in futures if sending(other._serial) == sending(future._serial)]


def own_options(_: object) -> tuple[str, str, object]:
    """What the job was given besides its call."""
    job = current_job()
    return job.id, job.task, dict(job.meta)


def own_facts() -> tuple[str, str, int]:
    """What the job knows of itself."""
    job = current_job()
    return job.id, job.task, job.attempt


def test_each_knows_itself(make_pool: MakePool) -> None:
    pool = warm(make_pool(1, name="known"))
    futures = send_together(pool, *[(own_facts,)] * 30)
    assert len(travelled_with(futures[0], futures)) == 30
    assert [future.result(WAIT)[0] for future in futures] == [future.job_id for future in futures]
    assert len({future.job_id for future in futures}) == 30
    assert {(future.attempts, future.result()[2]) for future in futures} == {(1, 1)}


def test_jobs_with_an_id_a_name_and_meta_travel_with_others(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    named = task(own_options)
    calls = [(named.options(id=f"order-{n}", name=f"step \u00e9{n}", meta={"number": n}), n) for n in range(20)]
    futures = send_together(pool, (jobs.same, 1), *calls, (lambda: 2,))
    assert len(travelled_with(futures[0], futures)) == 22
    assert [future.result(WAIT) for future in futures[1:-1]] == [
        (f"order-{n}", f"step \u00e9{n}", {"number": n}) for n in range(20)
    ]
    assert futures[-1].result(WAIT) == 2


def test_each_ends_as_it_ends(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    futures = send_together(
        pool,
        (jobs.same, 1),
        (jobs.fail, "one of them"),
        (jobs.leave, 3),
        (deeds.make_lock,),
        (jobs.same, b"x" * 300_000),
        (bytes, 300_000),
        (lambda: 6,),
        (jobs.same, 7),
    )
    errors = [type(future.exception(WAIT)) for future in futures]
    assert errors == [type(None), ValueError, JobExit, TypeError, *[type(None)] * 4]
    assert [futures[index].result() for index in (0, 4, 5, 6, 7)] == [1, b"x" * 300_000, bytes(300_000), 6, 7]
    assert wait_for_rest(pool).failed == 3


def test_what_is_too_much_for_one_packet_goes_in_several(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    texts = [bytes([number]) * 9_000 for number in range(30)]
    named = task(jobs.same)
    futures = send_together(pool, *[(jobs.same, text) for text in texts])
    futures += send_together(pool, *[(named.options(id=f"{number:020000d}"), number) for number in range(30)])
    assert [future.result(WAIT) for future in futures] == [*texts, *range(30)]


@on_each_parent
def test_a_long_job_holds_nobody_up(make_pool: MakePool, stage: Stage) -> None:
    """The other worker is busy when they are sent, and gets free while the first of them runs on."""
    pool = warm(make_pool(2))
    [(one, first), (other, second)] = stage.occupy(pool, 2)
    first.tell("return")
    assert one.result(WAIT) == "busy-0"
    long, *short = send_together(pool, (jobs.act, stage.address), *[(jobs.same, number) for number in range(40)])
    assert len(travelled_with(long, short)) > 10
    actor = stage.enter()
    second.tell("return")
    assert other.result(WAIT) == "busy-1"
    assert [future.result(WAIT) for future in short] == list(range(40))
    assert {future.attempts for future in short} == {1}
    assert not long.done()
    actor.tell("return")
    assert long.result(WAIT) == "actor"
    wait_for_rest(pool)


def test_those_behind_can_be_cancelled(make_pool: MakePool, stage: Stage, tmp_path: Path) -> None:
    pool = warm(make_pool(1))
    log = str(tmp_path / "log")
    calls = [(jobs.note, log, str(number)) for number in range(20)]
    long, *behind = send_together(pool, (jobs.act, stage.address), *calls)
    assert len(travelled_with(long, behind)) == 20
    actor = stage.enter()
    assert not long.cancel()
    assert [future.cancel() for future in behind[1::2]] == [True] * 10
    assert {future.outcome for future in behind[1::2]} == {Outcome.CANCELLED}
    actor.tell("return")
    assert [future.result(WAIT) for future in behind[::2]] == [str(number) for number in range(0, 20, 2)]
    assert jobs.lines(log) == [str(number) for number in range(0, 20, 2)]
    assert long.result() == "actor"
    wait_for_rest(pool)


def test_a_drain_gives_back_those_behind(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(1, cancel_grace=0.1))
    long, *behind = send_together(pool, (jobs.act, stage.address), *[(jobs.same, number) for number in range(20)])
    assert len(travelled_with(long, behind)) == 20
    stage.enter()
    report = pool.drain(0.05)
    assert {future.outcome for future in behind} == {Outcome.RETURNED}
    assert [row.id for row in report.unfinished] == [future.job_id for future in behind]
    assert (report.stats.returned, report.stats.interrupted) == (20, 1)


@on_each_parent
def test_one_that_dies_dies_alone(make_pool: MakePool, tmp_path: Path) -> None:
    pool = warm(make_pool(1))
    log = str(tmp_path / "log")
    futures = send_together(pool, *[(deeds.note_and_die_at, log, number, 15) for number in range(40)])
    assert len(travelled_with(futures[15], futures)) == 40
    error = futures[15].exception(WAIT)
    assert isinstance(error, WorkerCrashed)
    others = futures[:15] + futures[16:]
    assert [future.result(WAIT) for future in others] == [*range(15), *range(16, 40)]
    assert {future.attempts for future in futures} == {1}
    assert [int(line) for line in jobs.lines(log)] == list(range(40)), "each once"
    wait_for_rest(pool)


def test_one_that_hangs_hangs_alone(make_pool: MakePool, tmp_path: Path) -> None:
    pool = warm(make_pool(1, cancel_grace=0.1))
    log = str(tmp_path / "log")
    hang = task(deeds.note_and_hang_at, timeout=1.0)  # which the others keep on a busy machine, too
    futures = send_together(pool, *[(hang, log, number, 15) for number in range(40)])
    assert len(travelled_with(futures[15], futures)) == 40
    assert isinstance(futures[15].exception(WAIT), JobTimeout)
    assert [future.result(WAIT) for future in futures[:15] + futures[16:]] == [*range(15), *range(16, 40)]
    assert [int(line) for line in jobs.lines(log)] == list(range(40)), "each once"
    wait_for_rest(pool)


def test_one_that_has_begun_before_anybody_knows_what_became_of_the_last(make_pool: MakePool) -> None:
    """Both time limits are over when the supervisor looks, and the first one's result lies there unread."""
    pool = warm(make_pool(1, cancel_grace=0.1))
    (worker,) = pool._workers.workers
    gate = hold_up(pool)
    calls = ((task(jobs.sleep, total_timeout=0.2), 0.05), (task(deeds.count_for_ever, total_timeout=0.2),))
    futures = send_together(pool, *calls)
    until = monotonic() + WAIT
    while not worker.has_started(futures[1]) or monotonic() < futures[1]._total_ends:
        assert monotonic() < until
        sleep(0.001)
    gate.set()
    assert isinstance(futures[1].exception(WAIT), JobTimeout)
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    futures[0].exception(WAIT)
    wait_for_rest(pool)


def test_a_job_that_is_taken_back_was_not_said_to_have_started(make_pool: MakePool) -> None:
    pool = warm(make_pool(2))
    watch = Watch(pool)
    for number in range(60):
        futures = send_together(pool, (jobs.sleep, 0.003 + number * 0.00005), *[(jobs.same, 1)] * 5)
        for future in futures:
            future.result(WAIT)
    started = Counter(event.job_id for event in watch.of(events.JobStarted))
    assert set(started.values()) == {1}


def test_a_child_that_one_forks_runs_no_other(make_pool: MakePool, tmp_path: Path) -> None:
    pool = warm(make_pool(1))
    log = str(tmp_path / "log")
    futures = send_together(pool, *[(fork_at, (number, log)) for number in range(6)])
    assert [future.result(WAIT) for future in futures] == list(range(6))
    assert sorted(jobs.lines(log)) == ["0", "1", "2", "3", "3", "4", "5"]


def test_events_tell_of_each(make_pool: MakePool) -> None:
    pool = warm(make_pool(1))
    watch = Watch(pool)
    futures = send_together(pool, *[(jobs.same, number) for number in range(30)])
    assert len(travelled_with(futures[0], futures)) == 30
    ended = watch.wait_for(events.JobEnded, 30)
    assert [event.job_id for event in ended] == [future.job_id for future in futures]
    assert [event.job_id for event in watch.of(events.JobStarted)] == [future.job_id for future in futures]


def test_a_worker_that_is_to_end_after_so_many_gets_them_one_by_one(make_pool: MakePool) -> None:
    pool = warm(make_pool(1, max_tasks_per_child=5))
    futures = send_together(pool, *[(deeds.pid,)] * 20)
    ran = Counter(future.result(WAIT) for future in futures)
    assert max(ran.values()) <= 5


@pytest.mark.parametrize("interval", [None, 1e-5])
def test_withholding_at_every_moment(make_pool: MakePool, tmp_path: Path, interval: float | None) -> None:
    """Quick jobs pass by while somebody takes back whatever has not begun: each runs, and once."""
    pool = warm(make_pool(2, queue_size=3000))
    log = str(tmp_path / "log")
    over = threading.Event()

    def withhold() -> None:
        while not over.wait(random.random() * 0.002):
            for worker in pool._workers.fleet.available:
                pool._workers.stealer.withhold(worker)

    thread = threading.Thread(target=withhold)
    with switching_every(interval):
        thread.start()
        try:
            futures = [
                future
                for start in range(0, 3000, 100)
                for future in send_together(pool, *[(jobs.note, log, str(start + more)) for more in range(100)])
            ]
            assert [future.result(WAIT) for future in futures] == [str(number) for number in range(3000)]
        finally:
            over.set()
            thread.join(WAIT)
    assert sorted(int(line) for line in jobs.lines(log)) == list(range(3000))
    assert {future.attempts for future in futures} == {1}
    wait_for_rest(pool)


def test_workers_killed_at_every_moment(make_pool: MakePool, tmp_path: Path) -> None:
    pool = warm(make_pool(2, queue_size=2000))
    log = str(tmp_path / "log")
    futures, kills = [], 0
    for start in range(0, 2000, 200):
        futures += send_together(pool, *[(jobs.note, log, str(start + more)) for more in range(200)])
        sleep(random.random() * 0.005)
        for pid in pool.worker_pids()[:1]:
            with suppress(ProcessLookupError):  # the one before, of whose death nobody has heard yet
                os.kill(pid, signal.SIGKILL)
                kills += 1
    ended = Counter(type(future.exception(WAIT)) for future in futures)
    assert set(ended) <= {type(None), WorkerCrashed}
    assert ended[WorkerCrashed] <= kills
    ran = Counter(int(line) for line in jobs.lines(log))
    assert max(ran.values()) == 1
    assert len(ran) >= ended[type(None)]
    wait_for_rest(pool)


# -- items of a chunk, which come in one packet too


def test_a_long_item_holds_up_no_other(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(2))
    results = pool.map_unordered(deeds.same_or_act, [stage.address, *range(30)], chunksize=31)
    actor = stage.enter()
    assert sorted(next(results) for _ in range(30)) == list(range(30))
    actor.tell("return")
    assert list(results) == ["actor"]
    wait_for_rest(pool)


class TakesLongToLoad:
    """An argument that its reader spends a while on; then it is a number."""

    def __reduce__(self) -> Any:
        return jobs.sleep, (0.1,)


def test_a_long_item_holds_up_no_other_after_a_long_load_either(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(2))
    assert [pool.submit(jobs.same, number).result(WAIT) for number in range(100)] == list(range(100))
    pool._workers.fleet.pace.run_seconds.note(deeds.same_or_act, 1e-5)  # as if items took no time: all travel together
    items = [stage.address, TakesLongToLoad(), *range(30)]
    results = pool.map_unordered(deeds.same_or_act, items, chunksize=len(items))
    actor = stage.enter()
    assert sorted(next(results) for _ in range(31)) == sorted([0.1, *range(30)])
    actor.tell("return")
    assert list(results) == ["actor"]
    wait_for_rest(pool)


def test_what_is_behind_a_long_item_goes_with_its_map(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(1))
    results = pool.map_unordered(deeds.same_or_act, [stage.address, *range(30)], chunksize=31)
    actor = stage.enter()
    results.close()
    actor.tell("return")
    assert wait_for_rest(pool).cancelled == 30
