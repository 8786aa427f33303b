"""Programs that jobs on threads have started end with their worker, however that ends."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.cli.program import Program
from tests.patience import WAIT

APP = """
    import subprocess
    from steadypool import Queue
    queue = Queue("sqlite:///jobs.db")

    @queue.task
    def encode(apart: bool) -> int:
        return subprocess.run(["sh", "-c", "echo $$ > started; sleep 4711; true"], start_new_session=apart).returncode

    @queue.task
    async def encode_async(apart: bool) -> int:
        import asyncio
        command = ["sh", "-c", "echo $$ > started; sleep 4711; true"]
        process = await asyncio.create_subprocess_exec(*command, start_new_session=apart)
        return await process.wait()
"""
pytestmark = pytest.mark.parametrize("kind", ["thread", "async"])


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    os.mkfifo(program.folder / "started")
    return program


def start(shop: Program, kind: str, apart: str) -> tuple[object, list[psutil.Process]]:
    """A worker, and what its job has started: a shell, and what that has started."""
    shop.run("enqueue", "shop:encode_async" if kind == "async" else "shop:encode", f"[{apart}]")
    worker = shop.start("work", "shop:queue", "--kind", kind, "--drain-timeout", "2", "--cancel-grace", "0.2")
    with (shop.folder / "started").open() as started:  # it waits for the job
        shell = psutil.Process(int(started.readline()))
    while not (sleeps := shell.children()):
        pass
    return worker, [shell, *sleeps]


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended, within the time that a busy machine may take."""
    try:
        process.wait(WAIT)
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_they_end_with_the_worker(shop: Program, kind: str, number: signal.Signals) -> None:
    worker, programs = start(shop, kind, "false")
    worker.send_signal(number)  # type: ignore[attr-defined]
    said = worker.stderr.read()  # type: ignore[attr-defined]
    worker.wait(WAIT)  # type: ignore[attr-defined]
    assert all(map(is_over, programs))
    assert "sleep 4711" in said and "ended" in said


def test_what_is_in_a_session_of_its_own_is_left_and_named(shop: Program, kind: str) -> None:
    worker, programs = start(shop, kind, "true")
    try:
        worker.terminate()  # type: ignore[attr-defined]
        worker.wait(WAIT)  # type: ignore[attr-defined]
        if kind == "thread":  # asyncio's own code kills the process of a cancelled job, but not what that has started
            assert all(process.is_running() for process in programs)
        assert programs[1].is_running()
    finally:
        for process in programs:
            if process.is_running():
                process.kill()
    said = worker.stderr.read()  # type: ignore[attr-defined]
    assert "what a job has started in a session of its own goes on: " in said


def test_the_servers_of_a_pool_of_processes_are_no_programs_of_a_job(
    tmp_path: Path, program: Program, kind: str
) -> None:
    (program.folder / "shop.py").write_text(
        'from steadypool import Queue\nqueue = Queue("sqlite:///jobs.db")\n\n'
        '@queue.task(kind="process")\ndef pack() -> int:\n    return 1\n'
    )
    program.run("enqueue", "shop:pack", "[]")
    ended = program.run("work", "shop:queue", "--kind", kind, "--until-empty")
    assert "1 claimed, 1 completed" in ended.err
    assert "a job had started" not in ended.err
