"""What jobs need and is made once: `Queue(lifespan=...)`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadypool import JobState, Queue, current_job
from steadypool.durable.worker.lifespan import LifespanFailed
from tests.durable import lifespans
from tests.durable.programs import Program
from tests.pools.contract.stage import WAIT, Stage


@pytest.fixture
def log(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "lifespan.log"
    monkeypatch.setenv("LIFESPAN_LOG", str(path))
    monkeypatch.setenv("STEADYPOOL_URL", url)
    yield path
    for queue in (q for q in vars(lifespans).values() if isinstance(q, Queue)):
        queue.close()


def lines(log: Path) -> list[str]:
    return log.read_text().split("\n")[:-1] if log.exists() else []


@pytest.mark.every_engine
@pytest.mark.parametrize("form", ["sync", "async"])
def test_each_process_and_loop_enters_it_once_and_leaves_it_in_the_drain(log: Path, form: str) -> None:
    tasks = lifespans.SYNC if form == "sync" else lifespans.ASYNC
    handles = {kind: [task.enqueue() for _ in range(5)] for kind, task in tasks.items()}
    words = f"tests.durable.lifespans:{form}_queue", "--workers", "3", "--processes", "2", "--until-empty"
    program = Program("steadypool.cli", "work", *words)
    assert program.end() == 0, program.said
    own = program.process.pid
    said, pids = lines(log), set()
    for kind, several in handles.items():
        for entered, pid, loop, *here in (handle.result(WAIT) for handle in several):
            pids.add(pid)
            assert entered == pid and (pid == own) is (kind != "process")
            if kind == "async" and form == "async":
                assert here == [loop], "it was entered on the loop that runs the jobs"
    for pid in pids:
        times = 2 if pid == own else 1  # for the threads, and for the loop
        assert said.count(f"enter {pid}") == said.count(f"leave {pid}") == times


@pytest.mark.parametrize("name", ["threads_only", "processes_only", "loop_only"])
@pytest.mark.every_engine
def test_a_failure_ends_the_worker_with_the_reason_and_spends_no_attempt(log: Path, name: str, stage: Stage) -> None:
    queue: Queue = getattr(lifespans, name)
    task = next(iter(queue.tasks.values()))
    handle = task.enqueue(*(() if name == "loop_only" else (stage.address,)))
    Path(f"{log}.fails").touch()
    if name != "processes_only":  # the forkserver may be another test's, with the environment of that
        with pytest.raises(LifespanFailed, match="lifespan of the queue could not be entered: OSError: no database"):
            queue.work(workers=2)
    ended = Program("steadypool.cli", "work", f"tests.durable.lifespans:{name}", "--workers", "1")
    assert ended.end() == 3
    assert "could not be entered: OSError: no database here" in ended.said[-1] and "Traceback" not in "".join(
        ended.said
    )
    assert (handle.state, handle.attempts) == (JobState.AVAILABLE, 0) and not handle.errors
    assert lines(log) == []


def test_a_process_that_dies_in_it_is_reported_as_its_pool_does(log: Path) -> None:
    Path(f"{log}.kills").touch()
    ended = Program("steadypool.cli", "work", "tests.durable.lifespans:processes_only", "--workers", "1")
    assert ended.end() == 3
    assert "could not be entered: steadypool.PoolBroken: " in ended.said[-1]
    assert "its workers died before they were ready" in ended.said[-1]


@pytest.mark.parametrize("name", ["threads_only", "processes_only"])
def test_a_signal_leaves_it_when_the_jobs_have_ended(log: Path, name: str, stage: Stage) -> None:
    queue: Queue = getattr(lifespans, name)
    handle = next(iter(queue.tasks.values())).enqueue(stage.address)
    program = Program("steadypool.cli", "work", f"tests.durable.lifespans:{name}", "--workers", "1")
    actor = stage.enter()
    assert len(lines(log)) == 1
    program.process.terminate()
    actor.close()
    assert program.end() == 0
    pid = handle.result(WAIT)[1]
    assert lines(log) == [f"enter {pid}", f"leave {pid}"]


def test_a_process_that_is_replaced_enters_it_anew(log: Path, stage: Stage) -> None:
    queue = lifespans.processes_only
    handles = [lifespans.act_in_process.enqueue(stage.address) for _ in range(2)]
    program = Program("steadypool.cli", "work", "tests.durable.lifespans:processes_only", "--workers", "1")
    stage.enter()
    os.kill(int(lines(log)[0].split()[1]), signal.SIGKILL)
    for _ in handles:
        stage.enter().close()
    pids = {handle.result(WAIT)[1] for handle in handles}
    program.process.terminate()
    assert program.end() == 0
    entered = [line for line in lines(log) if line.startswith("enter")]
    assert len(entered) == 2 and f"enter {pids.pop()}" == entered[1]
    assert queue.stats().workers == ()


def test_what_leaving_raises_is_noted(tmp_path: Path) -> None:
    class Rude:
        def __enter__(self) -> str:
            return "made"

        def __exit__(self, *_: object) -> None:
            raise OSError("it was gone")

    with Queue(f"sqlite:///{tmp_path}/jobs.db", lifespan=Rude) as queue:

        @queue.task
        def what() -> Any:
            return current_job().resources

        handle = what.enqueue()
        report = queue.work(until_empty=True)
        assert handle.result() == "made"
        assert report.pool is not None
        assert report.pool.notes == ("leaving the lifespan raised OSError: it was gone",)
    assert current_job().resources is None


def test_what_is_no_lifespan_is_refused(tmp_path: Path) -> None:
    def plain() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="is a generator function: put @contextmanager above it"):
        Queue(lifespan=plain)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a function that returns a context manager, not 7"):
        Queue(lifespan=7)  # type: ignore[arg-type]
    with Queue(f"sqlite:///{tmp_path}/jobs.db", lifespan=lambda: 7) as queue:  # type: ignore[arg-type,return-value]
        queue.task(name="add")(print)
        with pytest.raises(LifespanFailed, match="lifespan must return a context manager"):
            queue.work(until_empty=True)
