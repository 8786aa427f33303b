"""The courier: errands in order, on a thread of its own that comes and goes."""

from __future__ import annotations

import threading

from steadypool.primitives.callback_thread import Courier
from tests.races.arena import switching_every

PATIENCE = 10.0


def nothing() -> None:
    """No errand."""


def test_errands_run_in_order_on_another_thread() -> None:
    courier, ran = Courier("c", nothing), []
    for number in range(50):
        courier.carry(lambda number=number: ran.append((number, threading.current_thread().name)))
    assert courier.wait_idle(PATIENCE)
    assert ran == [(number, "c-callbacks") for number in range(50)]


def test_each_thread_begins_as_it_was_told() -> None:
    started: list[int] = []
    courier = Courier("c", lambda: started.append(threading.get_ident()))
    for _ in range(3):
        courier.carry(nothing)
        assert courier.wait_idle(PATIENCE)
    assert 1 <= len(started) <= 3


def test_an_idle_courier_has_no_thread() -> None:
    threads: list[threading.Thread] = []
    courier = Courier("c", nothing)
    courier.carry(lambda: threads.append(threading.current_thread()))
    assert courier.wait_idle(PATIENCE)
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()


def test_an_errand_that_hangs_holds_up_the_others_and_is_told_of() -> None:
    courier, gate, ran = Courier("c", nothing), threading.Event(), []
    assert courier.wait_idle(0)
    courier.carry(lambda: gate.wait(PATIENCE))
    courier.carry(lambda: ran.append(1))
    assert not courier.wait_idle(0) and ran == []
    gate.set()
    assert courier.wait_idle(PATIENCE) and ran == [1]


def test_an_errand_may_send_another() -> None:
    courier, ran = Courier("c", nothing), []
    courier.carry(lambda: (ran.append(1), courier.carry(lambda: ran.append(2))))
    assert courier.wait_idle(PATIENCE) and ran == [1, 2]


def test_many_threads_send_errands_and_none_is_lost() -> None:
    courier, ran = Courier("c", nothing), []

    def send() -> None:
        for _ in range(200):
            courier.carry(lambda: ran.append(1))

    with switching_every(1e-6):
        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert courier.wait_idle(PATIENCE)
    assert len(ran) == 800
