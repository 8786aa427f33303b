"""``steadypool work`` where there is nothing that it can do: it ends, or says why it does not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.patience import WAIT

SHOP = """
    from steadypool import Queue, Retry
    queue = Queue("sqlite:///jobs.db")
"""
TASKS = """
    from shop import queue
    from steadypool import Retry
    @queue.task
    def send(n: int) -> int: return n
    @queue.task(retry=Retry(2, backoff=600, jitter=False))
    def fail(n: int) -> int: raise ValueError(n)
    if __name__ == "__main__":
        send.enqueue(1)
"""
URL = ("--url", "sqlite:///jobs.db")


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(SHOP))
    (program.folder / "tasks.py").write_text(textwrap.dedent(TASKS))
    return program


def test_a_queue_without_tasks_is_refused(shop: Program) -> None:
    ended = shop.run("work", "shop:queue", "--kind", "thread")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "shop:queue has no tasks: importing shop imports no module that makes one" in ended.err
    assert shop.run("enqueue", "tasks:send", "[1]").code == 0
    assert "; jobs of tasks.send wait there" in shop.run("work", "shop:queue").err


def test_jobs_of_other_names_are_told_of_once_at_each_start(shop: Program) -> None:
    shop.run("enqueue", "tasks:send", "[1]")
    (shop.folder / "mail.py").write_text("from shop import queue\n@queue.task\ndef send(n: int) -> int: return n\n")
    work = ("work", "mail:queue", "--kind", "thread", "--until-empty")
    said = shop.run(*work).err
    assert "1 of its jobs wait for a worker that can; its queue knows mail.send; did the caller mean mail.send?" in said
    assert said.count("tasks.send") == 1
    said = shop.run(*work).err  # it is set aside, and no worker claims it
    assert "jobs of tasks.send wait, a task that this queue does not know; it knows mail.send; did the caller " in said
    assert said.count("tasks.send") == 1


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_paused_queue_is_left_as_it_is(shop: Program, kind: str) -> None:
    shop.run("enqueue", "tasks:send", "[1]")
    shop.run("jobs", "pause", *URL)
    ended = shop.run("work", "tasks:queue", "--kind", kind, "--until-empty")
    assert ended.code == 0
    assert (
        "queue 'default' is paused: what waits in it (1) stays there until steadypool jobs resume default" in ended.err
    )
    shop.run("jobs", "resume", *URL)
    ended = shop.run("work", "tasks:queue", "--kind", kind, "--until-empty")
    assert "1 claimed, 1 completed" in ended.err and "note: " not in ended.err.partition("1 claimed")[2]


def test_a_wait_for_a_retry_is_told(shop: Program) -> None:
    shop.run("enqueue", "tasks:fail", "[1]")
    worker = shop.start("work", "tasks:queue", "--kind", "thread", "--until-empty")
    for line in worker.stderr or ():
        if "nothing to do now; jobs that run elsewhere: 0, to be retried later: 1" in line:
            break
    else:
        pytest.fail("it was not said")
    worker.terminate()
    assert worker.wait(WAIT) == 0
