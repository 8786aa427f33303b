"""What a fork does to a queue on SQLite: nothing, on either side, whichever goes first and whenever it comes."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import EngineError, Queue
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.sqlite import connections
from steadypool.durable.engine.sqlite.lock_holders import holders_of
from tests.durable import app
from tests.durable.conformance.steps import job
from tests.durable.engine.sqlite.forks import Child
from tests.durable.engines import file_of
from tests.durable.programs import ROOT

DRIVERS = ["sqlite3", "apsw"]


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db?synchronous=NORMAL&driver={request.param}"


@pytest.fixture
def queue(url: str, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    app.add.enqueue(0)
    app.queue.stats()  # the reading connection, too
    yield app.queue  # type: ignore[misc]
    app.queue.close()


COUNT = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM ready').fetchone())"


def seen_from_outside(url: str) -> int:
    """How many jobs a process finds that has nothing to do with us."""
    command = [sys.executable, "-I", "-S", "-c", COUNT, str(file_of(url))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_parent_closes_while_the_child_goes_on(queue: Queue, url: str) -> None:
    def act(child: Child) -> None:
        app.add.enqueue(1)
        child.say()
        child.wait()
        for number in range(10):
            app.add.enqueue(number)

    child = Child(act)
    child.hear()
    queue.close()
    child.go_on()
    assert child.end() == 0
    assert seen_from_outside(url) == 12


def let_it_be_collected() -> None:
    app.queue._opened.left_behind.clear()
    gc.collect()
    app.queue.close()


ENDS: list[Callable[[], object]] = [app.queue.close, let_it_be_collected, lambda: None]


@pytest.mark.parametrize("leave", [os._exit, sys.exit])
@pytest.mark.parametrize("end", ENDS)
def test_the_child_ends_while_the_parent_goes_on(queue: Queue, url: str, end: Any, leave: Any) -> None:
    def act(child: Child) -> None:
        app.add.enqueue(1)
        assert queue.stats().queues[0].available == 2
        end()

    def leave_in_order(code: int) -> None:
        if leave is sys.exit:
            # What the end of an interpreter does, but for pytest's own part in it.
            from steadypool.durable.client import open_queues

            open_queues.close_all()
            gc.collect()
        os._exit(code)

    assert Child(act, leave_in_order).end() == 0
    for number in range(5):
        app.add.enqueue(number)
    assert seen_from_outside(url) == 7
    assert queue.stats().queues[0].available == 7


def test_children_forked_while_threads_enqueue_and_look(queue: Queue, url: str) -> None:
    stop = threading.Event()
    counted: list[int] = []

    def put() -> None:
        put = 0
        while not stop.is_set():
            app.add.enqueue(put)
            put += 1
        counted.append(put)

    def look() -> None:
        while not stop.is_set():
            queue.stats()

    threads = [threading.Thread(target=target) for target in (put, put, look)]
    for thread in threads:
        thread.start()

    def act(child: Child) -> None:
        app.add.enqueue(1)
        assert queue.stats().queues[0].available > 1

    children = [Child(act) for _ in range(15)]
    ends = [child.end() for child in children]
    stop.set()
    for thread in threads:
        thread.join()
    assert ends == [0] * 15
    assert seen_from_outside(url) == 1 + 15 + sum(counted)


def test_a_fork_does_not_wait_for_who_waits_for_its_turn(queue: Queue, url: str) -> None:
    lock = os.open(f"{file_of(url)}-lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    thread = threading.Thread(target=app.add.enqueue, args=(1,))
    thread.start()
    while queue.writer._turn.acquire(blocking=False):
        queue.writer._turn.release()

    def act(child: Child) -> None:
        os.close(lock)
        child.say()
        child.wait()
        app.add.enqueue(2)

    child = Child(act)
    child.hear()  # it is there while the lock is still held
    os.close(lock)
    child.go_on()
    thread.join()
    assert child.end() == 0
    assert seen_from_outside(url) == 3


def test_a_thread_of_a_multiprocessing_program(queue: Queue, url: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=app.add.enqueue, args=(1,))
    process.start()
    process.join()
    assert process.exitcode == 0
    app.add.enqueue(2)
    assert seen_from_outside(url) == 3


DAEMON = """
import os, sys
from tests.durable import app
app.add.enqueue(0)
if os.fork():
    os._exit(0) if sys.argv[1] == "hard" else sys.exit()
os.setsid()
if os.fork():
    os._exit(0)
for number in range(1024):
    try:
        os.close(number) if number != 1 else None
    except OSError:
        pass
app.add.enqueue(1)
handle = app.add.enqueue(2)
if os.fork() == 0:
    app.add.enqueue(3)
    os._exit(0)
os.wait()
app.add.enqueue(4)
"""


@pytest.mark.parametrize("how", ["hard", "in order"])
def test_a_program_that_becomes_a_daemon(url: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    # The daemon keeps standard output: it has ended when that has.
    subprocess.run([sys.executable, "-c", DAEMON, how], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    assert seen_from_outside(url) == 5


def test_a_fork_in_the_middle_of_a_transaction_of_the_same_thread(url: str) -> None:
    """A signal handler that forks: the child must not go on with the transaction, and says that it cannot."""
    engine = open_engine(url)
    engine.put_many([job()])
    other = open_engine(url)
    with engine._store.write() as connection:  # type: ignore[attr-defined]
        connection.execute("UPDATE counters SET value = value + 100 WHERE name = 'job'")
        child = Child(refused_twice(url))
        assert child.end() == 0
    assert engine.put_many([job()])[0].number == 102
    assert other.put_many([job()])[0].number == 103
    engine.close()
    other.close()


def refused_twice(url: str) -> Callable[[Child], None]:
    def act(child: Child) -> None:
        for _ in range(2):
            with pytest.raises(EngineError, match="in the middle of a transaction"):
                open_engine(url).put_many([job()])
        with pytest.raises(EngineError, match="in the middle of a transaction"):
            open_engine(url).stats()
        gc.collect()

    return act


def test_the_copy_of_a_transaction_is_not_committed(url: str) -> None:
    engine = open_engine(url)
    engine.put_many([job()])
    pid = -1
    try:
        with engine._store.write() as connection:  # type: ignore[attr-defined]
            connection.execute("UPDATE counters SET value = value + 100 WHERE name = 'job'")
            pid = os.fork()
    except EngineError:
        os._exit(7 if pid == 0 else 1)
    if pid == 0:
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert engine.put_many([job()])[0].number == 102
    engine.close()


def test_a_fork_does_not_wait_for_ever_for_a_thread_in_a_transaction(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FORK_PATIENCE", 0.05)
    engine = open_engine(url)
    engine.put_many([job()])
    inside, done = threading.Event(), threading.Event()

    def stay() -> None:
        with engine._store.write():  # type: ignore[attr-defined]
            inside.set()
            done.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    child = Child(refused_twice(url))
    done.set()
    thread.join()
    assert child.end() == 0
    assert engine.put_many([job()])[0].enqueued
    engine.close()


@pytest.mark.skipif(holders_of(__file__) is None, reason="the system does not say who has locked what")
def test_a_connection_of_the_program_s_own_that_the_child_has_a_copy_of(queue: Queue, url: str, tmp_path: Path) -> None:
    if "apsw" in url:
        import apsw

        own: Any = apsw.Connection(str(tmp_path / "jobs.db"))
    else:
        own = sqlite3.connect(tmp_path / "jobs.db")
    own.execute("SELECT count(*) FROM jobs").fetchall()

    def act(child: Child) -> None:
        for enqueue_or_look in (lambda: app.add.enqueue(1), queue.stats):
            with pytest.raises(EngineError, match="close such connections before the fork"):
                enqueue_or_look()

    assert Child(act).end() == 0
    app.add.enqueue(1)
    own.close()
    assert seen_from_outside(url) == 2


def test_a_signal_handler_that_forks_in_the_middle_of_a_commit(queue: Queue, url: str) -> None:
    """The main thread waits there for the one that writes, so the child is whole."""
    children: list[Child] = []

    def handle(number: int, frame: object) -> None:
        children.append(Child(lambda child: app.add.enqueue(1)))

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        for number in range(20):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            app.add.enqueue(number)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [child.end() for child in children] == [0] * len(children)
    assert seen_from_outside(url) == 21 + len(children)
