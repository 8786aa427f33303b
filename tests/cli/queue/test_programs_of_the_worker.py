"""What a worker itself has started is no program of a job: no line says so, however the worker ends."""

from __future__ import annotations

import os
import signal
import textwrap

import pytest

from tests.cli.program import Program
from tests.patience import WAIT

APP = """
    import time
    from steadypool import Queue
    queue = Queue("sqlite:///jobs.db")

    @queue.task(kind="process")
    def pack() -> int:
        return 1

    @queue.task
    def stick() -> None:
        with open("started", "w") as started:
            started.write("here")
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_line_names_them(program: Program, number: signal.Signals) -> None:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    os.mkfifo(program.folder / "started")
    worker = program.start("work", "shop:queue", "--drain-timeout", "1", "--cancel-grace", "0.1")
    assert program.run("enqueue", "shop:pack", "[]", "--wait", "20").code == 0
    program.run("enqueue", "shop:stick", "[]")
    assert (program.folder / "started").read_text() == "here"
    worker.send_signal(number)
    assert worker.stderr is not None
    said = worker.stderr.read()  # to its end: when the helper and the servers have gone
    worker.wait(WAIT)
    assert "is ready" in said
    assert not any(text in said for text in ("ended what", "of its own", "; ended", "multiprocessing"))
