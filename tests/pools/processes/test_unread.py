"""A job does not lie unread with a worker that has stopped, or hangs as it starts, while another could run it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from steadypool.pools.processes import handover_watch
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.processes.methods import on_every_method
from tests.pools.processes.warming import warm

MakePool = Callable[..., Any]
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="packets are taken back on Linux alone")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process has stopped, as in a debugger."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while not _is_stopped(pid):
            os.sched_yield()
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Whether it is, and not only about to be: it would still read what comes."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"


@on_every_method
def test_another_runs_what_a_stopped_worker_does_not_read(make_pool: MakePool) -> None:
    pool = make_pool(2)
    warm(pool)
    for pid in pool.worker_pids():
        with stopped(pid):
            assert pool.submit(jobs.same, 1).result(WAIT) == 1
            futures = [pool.submit(jobs.same, number) for number in range(50)]
            assert [future.result(WAIT) for future in futures] == list(range(50))
            assert list(pool.map(jobs.same, range(50))) == list(range(50))
    assert pool.stats().restarts == 0
    assert pool.drain(WAIT).ok


def test_another_is_started_if_there_may_be_more(make_pool: MakePool) -> None:
    pool = make_pool(1)  # a second worker comes only once there may be one, however slowly the first one reads
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    (pid,) = pool.worker_pids()
    pool.resize(2)
    with stopped(pid):
        assert pool.submit(jobs.same, 2).result(WAIT) == 2
    assert pool.drain(WAIT).ok


@pytest.mark.parametrize("method", ["fork"])  # started at once, so that the pool takes its jobs for short ones
def test_a_worker_that_reads_again_gets_what_lies_behind_a_long_job(
    make_pool: MakePool, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover_watch, "AVOIDED_SECONDS", WAIT)
    for _ in range(5):
        pool = make_pool(1)
        assert pool.submit(jobs.same, 1).result(WAIT) == 1
        (pid,) = pool.worker_pids()
        pool.resize(2)
        with stopped(pid):
            assert pool.submit(jobs.same, 2).result(WAIT) == 2
        long = pool.submit(jobs.act, stage.address)  # not to the one that had stopped
        assert pool.submit(jobs.same, 3).result(WAIT) == 3  # one alone: results of others would have it looked for
        assert not long.done()
        stage.enter().close()
        assert pool.drain(WAIT).ok


def hang_as_the_second(first: str) -> None:
    """An initializer that lets one worker pass."""
    try:
        os.close(os.open(first, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        signal.pause()


@on_every_method
def test_another_runs_what_went_to_a_worker_that_hangs_as_it_starts(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(2, initializer=hang_as_the_second, initargs=(str(tmp_path / "first"),))
    futures = [pool.submit(jobs.same, number) for number in range(20)]
    assert [future.result(WAIT) for future in futures] == list(range(20))
    pool.drain(0.5)
