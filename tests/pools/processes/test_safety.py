"""In programs with threads, odd defaults, forks, signals to everybody, and on systems that lack what Linux has."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from steadypool import JobTimeout, Outcome, WorkerCrashed, share, task
from tests.forks import run_forked
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes import deeds, program
from tests.pools.processes.methods import on_every_method
from tests.pools.processes.remains import family, is_dead, open_watch, wait_gone
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]


def run(name: str, *arguments: str) -> list[str]:
    """What one of the programs prints."""
    done = run_forked(program.NAME, name, *arguments, cwd=program.ROOT, timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@on_every_method
def test_pools_on_many_threads(method: str) -> None:
    assert run("many_threads", method) == ["True"]


@on_every_method
def test_with_a_default_socket_timeout(make_pool: MakePool) -> None:
    """It makes new sockets non-blocking, in the parent and, by fork, in the worker."""
    socket.setdefaulttimeout(0.02)
    try:
        pool = make_pool(2)
        assert pool.submit(jobs.sleep, 0.1).result(WAIT) == 0.1
        assert pool.submit(jobs.same, b"x" * 3_000_000).result(WAIT) == b"x" * 3_000_000
        assert list(pool.map(jobs.same, ["y" * 10_000] * 200, chunksize=50)) == ["y" * 10_000] * 200
        assert isinstance(pool.submit(deeds.kill).exception(WAIT), WorkerCrashed)
        assert pool.submit(jobs.same, 1).result(WAIT) == 1
    finally:
        socket.setdefaulttimeout(None)


def test_a_job_may_set_one(make_pool: MakePool) -> None:
    pool = make_pool(1)
    pool.submit(socket.setdefaulttimeout, 0.01).result(WAIT)
    assert pool.submit(jobs.sleep, 0.05).result(WAIT) == 0.05
    assert pool.submit(jobs.same, b"x" * 3_000_000).result(WAIT) == b"x" * 3_000_000


@on_every_method
def test_a_child_that_a_job_forks_may_outlive_it(make_pool: MakePool, stage: Stage) -> None:
    """It has copies of every descriptor of its worker, whose death is noticed all the same."""
    pool = make_pool(1)
    orphan = pool.submit(deeds.leave_a_child, stage.address).result(WAIT)
    actor = stage.enter()
    watch = open_watch(orphan)
    assert watch is not None
    for number in range(3):
        assert pool.submit(jobs.same, number).result(WAIT) == number
    [pid] = pool.worker_pids()
    running = pool.submit(deeds.sleep_until_told, stage.address)
    stage.enter()
    os.kill(pid, signal.SIGKILL)
    error = running.exception(WAIT)
    assert isinstance(error, WorkerCrashed)
    assert (error.pid, error.signal_name) == (pid, "SIGKILL")
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert pool.drain(WAIT).ok
    assert not is_dead(watch, 0)
    os.close(watch)
    actor.close()
    assert wait_gone(orphan) == []


@on_every_method
def test_a_child_that_a_job_forks_may_fork(make_pool: MakePool) -> None:
    """What the child has opened meanwhile is open in its own child, too."""
    assert make_pool(1).submit(deeds.fork_twice).result(WAIT) == 0


def test_a_child_that_a_job_forks_may_outlive_the_drain(make_pool: MakePool, stage: Stage) -> None:
    pool = make_pool(1)
    orphan = pool.submit(deeds.leave_a_child, stage.address).result(WAIT)
    actor = stage.enter()
    pids = pool.worker_pids()
    assert pool.drain(WAIT).ok
    assert wait_gone(*pids) == []
    actor.close()
    assert wait_gone(orphan) == []


@on_every_method
def test_workers_do_not_mind_sigterm_and_sigint(make_pool: MakePool, stage: Stage) -> None:
    pool = warm(make_pool(2))
    future, actor = stage.start(pool)
    pids = pool.worker_pids()
    for _ in range(3):
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        assert actor.ask("sleep a little") is True
    actor.tell("return")
    assert future.result(WAIT) == "actor"
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    assert sorted(pool.worker_pids()) == sorted(pids)


@on_every_method
def test_sigterm_to_every_process_drains(stage: Stage, method: str) -> None:
    """As systemd stops a service. New workers can be had even so: these last for two jobs each."""
    process = program.start(program.drain_on_sigterm, method, stage.address)
    assert process.stdout is not None
    actors = stage.enter_many(2)
    assert process.stdout.readline() == "ready\n"
    pids = family(process.pid)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for actor in actors.values():
        actor.ask("worker")
        actor.tell("return")
    out, errors = process.communicate(timeout=WAIT)
    assert (out, process.returncode) == ("True 10 0\n", 0), errors
    assert wait_gone(*pids) == []


def test_without_its_forkserver(stage: Stage) -> None:
    process = program.start(program.lose_the_forkserver, stage.address)
    assert process.stdout is not None
    actor = stage.enter()
    assert process.stdout.readline() == "killed\n"
    actor.tell("return")
    out, errors = process.communicate(timeout=2 * WAIT)
    assert process.returncode == 0, errors
    lines = out.splitlines()
    assert lines[0] == "running: actor"
    assert lines[1].startswith("crash: WorkerCrashed False ")
    assert lines[2:] == [f"later: {list(range(10))}", "and later: 1", "drained: True"]


# -- other systems


@pytest.fixture
def without_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without atomic packets."""
    monkeypatch.delattr(socket, "SOCK_SEQPACKET")


@pytest.fixture
def like_macos(monkeypatch: pytest.MonkeyPatch, without_packets: None) -> None:
    """And without the other things that Linux has. By fork, workers see it as the parent does."""
    for module, name in [
        (socket, "MSG_CMSG_CLOEXEC"),
        (os, "memfd_create"),
        (os, "pidfd_open"),
        (fcntl, "F_SETSIG"),
        (signal, "SIGRTMIN"),
    ]:
        monkeypatch.delattr(module, name)


@pytest.mark.usefixtures("patient_stacks")
@pytest.mark.parametrize("method", ["forkserver", "fork"])
def test_over_a_stream(without_packets: None, make_pool: MakePool, stage: Stage) -> None:
    check_everything(make_pool, stage)


@pytest.mark.usefixtures("patient_stacks")
@pytest.mark.parametrize("method", ["fork"])
def test_like_macos(like_macos: None, make_pool: MakePool, stage: Stage) -> None:
    check_everything(make_pool, stage)


def check_everything(make_pool: MakePool, stage: Stage) -> None:
    """The promises in short."""
    pool = warm(make_pool(2, cancel_grace=0.1))
    assert not pool._workers.fleet.packets
    assert [future.result(WAIT) for future in [pool.submit(jobs.same, number) for number in range(300)]] == [
        *range(300)
    ]
    for size in (10, 20_000, 100_000, 5_000_000):
        for value in (b"x" * size, "x" * size):
            assert pool.submit(jobs.same, value).result(WAIT) == value
    with share(b"s" * 200_000) as shared:
        assert list(pool.map(deeds.length_of, [shared] * 20, chunksize=4)) == [200_000] * 20
    assert list(pool.map(jobs.double, range(300), chunksize=20)) == [2 * number for number in range(300)]
    assert list(pool.map(jobs.same, [b"z" * 50_000] * 20, chunksize=6)) == [b"z" * 50_000] * 20

    future, actor = stage.start(pool)
    short = [pool.submit(jobs.same, number) for number in range(100)]
    assert [job.result(WAIT) for job in short] == list(range(100))
    pid, _ = actor.ask("worker")
    os.kill(pid, signal.SIGKILL)
    error = future.exception(WAIT)
    assert isinstance(error, WorkerCrashed)
    assert error.signal_name == "SIGKILL"
    assert isinstance(pool.submit(deeds.segfault).exception(WAIT), WorkerCrashed)

    hog = pool.submit(task(deeds.count_for_ever, timeout=0.6))
    error = hog.exception(WAIT)
    assert isinstance(error, JobTimeout)
    assert "count_for_ever" in error.stack
    told = pool.submit(deeds.sleep_until_told, stage.address)
    stage.enter()
    told.cancel(running=True)
    told.exception(WAIT)
    assert isinstance(pool.submit(jobs.same, deeds.make_lock()).exception(WAIT), TypeError)

    busy = stage.occupy(pool, 2)
    waiting = [pool.submit(jobs.nothing) for _ in range(5)]
    report = pool.drain(0)
    assert {future.outcome for future, _ in busy} == {Outcome.INTERRUPTED}
    assert {future.outcome for future in waiting} == {Outcome.RETURNED}
    assert report.stats.balanced
