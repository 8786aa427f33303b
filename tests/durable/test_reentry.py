"""Signal handlers and finalizers that enqueue: it works, or they are refused at once; no thread waits for itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from steadypool import EngineBusy, Queue
from tests.durable import app
from tests.durable.engines import EngineKind
from tests.durable.programs import ROOT
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.every_engine

FIRST_USE = """
import signal, sys
from steadypool import Queue
queue = Queue(sys.argv[1])
task = queue.task(name="t")(lambda n: n)
at, calls, handled = int(sys.argv[2]), 0, []

def count(frame, event, argument):
    # As if the signal came at this very line of the first use.
    global calls
    calls += 1
    if calls == at:
        sys.settrace(None)
        signal.raise_signal(signal.SIGUSR1)
    return count

signal.signal(signal.SIGUSR1, lambda *_: handled.append(task.enqueue(99)))
sys.settrace(count)
task.enqueue(1)
sys.settrace(None)
queue.close()
with queue:
    print(calls, len(handled), queue.stats().queues[0].available)
"""


@pytest.mark.parametrize("share", [0.3, 0.8, 0.94])
def test_a_signal_in_the_first_use(url: str, share: float) -> None:
    def first_use(at: int) -> list[int]:
        command = [sys.executable, "-c", FIRST_USE, url, str(at)]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT)
        assert out.returncode == 0, out.stderr
        return list(map(int, out.stdout.split()))

    calls, handled, before = first_use(-1)
    assert handled == 0
    _, handled, available = first_use(int(calls * share))
    assert (handled, available) == (1, before + 2)


@contextmanager
def on_signal(handler: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Have *handler* run on the main thread, in the middle of whatever it does, when what this gives is called."""
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    try:
        yield lambda: signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_handler_in_the_middle_of_a_look_may_enqueue(queue: Queue) -> None:
    app.add.enqueue(1)
    with on_signal(lambda: app.add.enqueue(2)) as interrupt:
        with interrupting(queue.engine, interrupt):
            queue.stats()
    assert queue.stats().queues[0].available == 2


def test_a_handler_that_looks_in_the_middle_of_a_look_is_refused_at_once(queue: Queue) -> None:
    app.add.enqueue(1)
    refused: list[EngineBusy] = []

    def look() -> None:
        began = time.monotonic()
        with pytest.raises(EngineBusy, match="do it later") as caught:
            queue.stats()
        refused.append(caught.value)
        assert time.monotonic() - began < queue.engine.timeout / 2

    with on_signal(look) as interrupt, interrupting(queue.engine, interrupt):
        queue.stats()
    assert refused and refused[0].nothing_happened
    assert queue.stats().queues[0].available == 1


def test_a_handler_in_the_middle_of_a_change_enqueues_or_is_refused_at_once(queue: Queue) -> None:
    handle = app.add.enqueue(1)
    said: list[str] = []

    def enqueue() -> None:
        began = time.monotonic()
        try:
            app.add.enqueue(2)
        except EngineBusy as error:
            said.append("refused" if error.nothing_happened else "lost")
        else:
            said.append("enqueued")
        assert time.monotonic() - began < queue.engine.timeout / 2

    with on_signal(enqueue) as interrupt, interrupting(queue.engine, interrupt):
        handle.cancel()
    app.add.enqueue(3)
    waits = queue.stats().queues[0].available
    assert waits == 1 + said.count("enqueued") and said in (["refused"], ["enqueued"])


@contextmanager
def interrupting(engine: object, interrupt: Callable[[], None]) -> Iterator[None]:
    """Interrupt the next call of the engine once it has what it needs: in the middle of its statement."""
    store = getattr(engine, "_store", None)
    place, name = (store, "_connect_reader") if store is not None else (engine._session, "_open")  # type: ignore[attr-defined]
    places = [(place, name)] + ([(store, "_begin")] if store is not None else [])
    once: list[int] = []

    def at(method: Callable[..., object]) -> Callable[..., object]:
        def interrupted(*args: object) -> object:
            found = method(*args)
            if not once and threading.current_thread() is threading.main_thread():
                once.append(1)
                interrupt()
            return found

        return interrupted

    for place, name in places:
        setattr(place, name, at(getattr(place, name)))
    try:
        yield
    finally:
        for place, name in places:
            delattr(place, name)
    assert once


class Enqueues:
    """When it is collected, it enqueues."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def __del__(self) -> None:
        try:
            app.add.enqueue(99)
            self._said.append("enqueued")
        except EngineBusy:
            self._said.append("refused")


def test_a_finalizer_in_the_middle_of_an_enqueue(queue: Queue, engine_kind: EngineKind) -> None:
    """On the thread that writes, wherever that is."""
    app.add.enqueue(0)
    put_many = queue.writer._engine.put_many
    said: list[str] = []

    def collect_in_the_middle(jobs: object, **how: object) -> object:
        if not said:
            del_me = Enqueues(said)
            del del_me
        return put_many(jobs, **how)  # type: ignore[arg-type]

    for enqueue in (lambda: app.add.enqueue(1), lambda: on_thread(lambda: app.add.enqueue(1))):
        said.clear()
        queue.writer._engine.put_many = collect_in_the_middle  # type: ignore[method-assign,assignment]
        enqueue()
        assert said == ["refused"]
        queue.writer._engine.put_many = put_many  # type: ignore[method-assign]


def on_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()
