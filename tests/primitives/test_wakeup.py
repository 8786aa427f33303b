"""The bell: rung once, heard once, and never lost."""

from __future__ import annotations

import os
import select
import signal
import threading
from time import monotonic

from steadypool.primitives.wakeup import Bell, PipeBell
from tests.patience import WAIT
from tests.races.arena import switching_every


def test_a_bell_stays_rung_until_it_is_heard() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait(None)
    bell.wait(monotonic())  # heard already: this one returns for its time
    bell.ring()
    bell.wait(None)


def test_a_moment_that_has_passed_is_no_wait() -> None:
    Bell().wait(monotonic() - 5)


def test_it_wakes_a_thread_that_waits_without_limit() -> None:
    bell, heard = Bell(), threading.Event()
    thread = threading.Thread(target=lambda: (bell.wait(None), heard.set()), daemon=True)
    thread.start()
    bell.ring()
    assert heard.wait(WAIT)


def test_a_far_moment_is_no_error() -> None:
    bell = Bell()
    bell.ring()
    bell.wait(monotonic() + 1e12)


def test_a_signal_handler_may_ring_at_any_time() -> None:
    bell, rung = Bell(), []

    def handler(*_: object) -> None:
        rung.append(None)
        bell.ring()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        for _ in range(200):
            bell.ring()
            signal.raise_signal(signal.SIGUSR1)
            bell.wait(None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(rung) == 200


def test_no_ring_is_lost_between_two_waits() -> None:
    bell, noted, seen, end = Bell(), [0], [0], threading.Event()

    def listen() -> None:
        while seen[0] < 2000:
            bell.wait(None)
            seen[0] = noted[0]
        end.set()

    threading.Thread(target=listen, daemon=True).start()
    with switching_every(1e-6):
        for _ in range(2000):
            noted[0] += 1
            bell.ring()
        assert end.wait(WAIT)


def test_a_pipe_bell_stays_rung_until_it_is_heard_and_then_is_quiet() -> None:
    bell = PipeBell()
    for _ in range(3):
        bell.ring()
        bell.ring()
        assert bell.wait(None) == {}
        assert bell.wait(0.0) == {}
        assert select.select([bell.fd], (), (), 0)[0] == [], "one wait has heard all of it"
    bell.close()
    bell.ring()
    bell.close()


def test_a_pipe_bell_waits_for_other_descriptors_too() -> None:
    bell = PipeBell()
    reads, writes = os.pipe()
    os.write(writes, b"!")
    assert bell.wait(None, {reads: select.POLLIN}) == {reads: select.POLLIN}
    bell.ring()
    assert set(bell.wait(None, {reads: select.POLLIN})) == {reads}
    assert select.select([bell.fd], (), (), 0)[0] == []
    os.close(writes)
    os.close(reads)
    bell.close()


def test_a_signal_rings_a_pipe_bell_by_itself() -> None:
    bell = PipeBell()
    old, before = signal.set_wakeup_fd(bell.write_fd), signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert bell.wait(None) == {}
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.set_wakeup_fd(old)
    bell.close()


def test_many_threads_ring_a_pipe_bell_and_the_last_ring_is_never_lost() -> None:
    bell, rung = PipeBell(), [0, 0, 0]
    rounds = 2000

    def ring(place: int) -> None:
        for _ in range(rounds):
            rung[place] += 1
            bell.ring()

    threads = [threading.Thread(target=ring, args=(place,)) for place in range(3)]
    with switching_every(1e-5):
        for thread in threads:
            thread.start()
        while sum(rung) < 3 * rounds:
            before = monotonic()
            bell.wait(WAIT)
            assert monotonic() - before < WAIT, "a ring was lost"
    for thread in threads:
        thread.join(WAIT)
    bell.close()
