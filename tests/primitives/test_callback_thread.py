"""The callback thread: errands in order, on a thread of its own that comes and goes."""

from __future__ import annotations

import threading

from steadypool.primitives.callback_thread import CallbackThread
from tests.patience import WAIT
from tests.races.arena import switching_every


def nothing() -> None:
    """No errand."""


def test_errands_run_in_order_on_another_thread() -> None:
    callback_thread, ran = CallbackThread("c", nothing), []
    for number in range(50):
        callback_thread.run(lambda number=number: ran.append((number, threading.current_thread().name)))
    assert callback_thread.wait_idle(WAIT)
    assert ran == [(number, "c-callbacks") for number in range(50)]


def test_each_thread_begins_as_it_was_told() -> None:
    started: list[int] = []
    callback_thread = CallbackThread("c", lambda: started.append(threading.get_ident()))
    for _ in range(3):
        callback_thread.run(nothing)
        assert callback_thread.wait_idle(WAIT)
    assert 1 <= len(started) <= 3


def test_an_idle_callback_thread_has_no_thread() -> None:
    threads: list[threading.Thread] = []
    callback_thread = CallbackThread("c", nothing)
    callback_thread.run(lambda: threads.append(threading.current_thread()))
    assert callback_thread.wait_idle(WAIT)
    threads[0].join(WAIT)
    assert not threads[0].is_alive()


def test_an_errand_that_hangs_holds_up_the_others_and_is_told_of() -> None:
    callback_thread, gate, ran = CallbackThread("c", nothing), threading.Event(), []
    assert callback_thread.wait_idle(0)
    callback_thread.run(lambda: gate.wait(WAIT))
    callback_thread.run(lambda: ran.append(1))
    assert not callback_thread.wait_idle(0) and ran == []
    gate.set()
    assert callback_thread.wait_idle(WAIT) and ran == [1]


def test_an_errand_may_send_another() -> None:
    callback_thread, ran = CallbackThread("c", nothing), []
    callback_thread.run(lambda: (ran.append(1), callback_thread.run(lambda: ran.append(2))))
    assert callback_thread.wait_idle(WAIT) and ran == [1, 2]


def test_many_threads_send_errands_and_none_is_lost() -> None:
    callback_thread, ran = CallbackThread("c", nothing), []

    def send() -> None:
        for _ in range(200):
            callback_thread.run(lambda: ran.append(1))

    with switching_every(1e-6):
        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert callback_thread.wait_idle(WAIT)
    assert len(ran) == 800
