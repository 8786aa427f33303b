"""Buffers of shared memory whose ends move at the same moment."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from steadypool.pools.processes.ipc.buffers import FREE, GONE, LENT, SMALL, BufferReader, Loan
from tests.patience import WAIT
from tests.pools.processes.ipc.ends import Ends
from tests.races.arena import duel, switching_every

SIZE = SMALL + 1000
ROUNDS = 500
Lent = list[memoryview]


@pytest.fixture(params=[None, 1e-6], ids=["", "switching"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    ends = Ends()
    with switching_every(request.param):
        yield ends
    ends.close()


def filled(number: int) -> bytes:
    return bytes([number % 256]) * SIZE


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_the_last_view_goes_while_the_next_is_lent(ends: Ends) -> None:
    """Lent again or not, what is read is what was written."""
    sent = [b""]

    def prepare(number: int) -> Lent:
        sent[0] = filled(number + 1)
        return ends.carry(filled(number))

    def check(_: Lent, results: list[Any]) -> None:
        [view] = ends.open(results[1])
        assert bytes(view) == sent[0]

    duel(ROUNDS, prepare, (lambda views: views.clear(), lambda _: ends.pool.lend(sent)), check)
    assert LENT not in ends.marks and len(ends.slabs()) <= 2


def test_the_last_view_goes_while_the_process_forks(ends: Ends) -> None:
    """The slab is free, or nobody's; and the next one is right."""

    def check(_: Lent, __: list[Any]) -> None:
        assert LENT not in ends.marks
        assert [bytes(view) for view in ends.carry(b"x" * SIZE)] == [b"x" * SIZE]

    moves = (lambda views: views.clear(), lambda _: ends.reader.pin())
    duel(ROUNDS, lambda number: ends.carry(filled(number)), moves, check)


def test_the_last_view_goes_while_the_reader_forgets(ends: Ends) -> None:
    def check(_: Lent, __: list[Any]) -> None:
        assert set(ends.marks) <= {FREE, GONE} and not ends.reader._kept
        assert all(ends.marks[number] == FREE for number in ends.reader._slabs)
        assert [bytes(view) for view in ends.carry(b"x" * SIZE)] == [b"x" * SIZE]

    moves = (lambda views: views.clear(), lambda _: ends.reader.forget())
    duel(ROUNDS, lambda number: ends.carry(filled(number)), moves, check)


def test_the_reader_forgets_just_before_what_came_back_is_marked() -> None:
    """The thread that drops the last view is held up there: then the writer must not lend a slab that is forgotten."""
    ends, views = Ends(), []
    views += ends.carry(filled(1))
    arrived, go = threading.Event(), threading.Event()

    def hold_up(frame: FrameType, event: str, _: object) -> None:
        if frame.f_code is BufferReader._mark.__code__:
            arrived.set()
            go.wait(WAIT)

    def drop() -> None:
        sys.settrace(hold_up)
        views.clear()

    thread = threading.Thread(target=drop)
    thread.start()
    assert arrived.wait(WAIT)
    ends.reader.forget()
    go.set()
    thread.join()
    assert all((ends.marks[number] == FREE) == (number in ends.reader._slabs) for number in ends.slabs())
    assert [bytes(view) for view in ends.carry(filled(2))] == [filled(2)]
    assert len(ends.reader.forget()) == 1
    ends.close()


def test_the_last_view_goes_while_both_ends_close() -> None:
    before = descriptors()
    both: list[Ends] = []

    def prepare(number: int) -> Lent:
        both[:] = [Ends()]
        return both[0].carry(filled(number))

    duel(ROUNDS, prepare, (lambda views: views.clear(), lambda _: both[0].close()), lambda *_: None)
    assert descriptors() == before


def test_it_is_taken_back_before_the_sender_has_gone_on(ends: Ends) -> None:
    """The next one is another slab, or brings its descriptor too."""

    def check(loan: Loan, _: list[Any]) -> None:
        assert ends.pool.is_empty and loan.number == 1

    before = descriptors()
    moves = (lambda loan: ends.pool.was_sent(loan, True), lambda loan: ends.pool.take_back(loan.number, True))
    duel(ROUNDS, lambda number: ends.pool.lend([filled(number)]), moves, check)
    assert descriptors() == before


def test_a_worker_dies_while_something_is_lent_to_it() -> None:
    before = descriptors()

    def prepare(number: int) -> Ends:
        ends = Ends()
        ends.pool.was_sent(ends.pool.lend([filled(number)]), False)
        return ends

    def check(ends: Ends, results: list[Any]) -> None:
        ends.pool.was_sent(results[0], False)
        assert ends.pool.is_empty
        ends.reader.close()

    duel(ROUNDS, prepare, (lambda ends: ends.pool.lend([filled(7)]), lambda ends: ends.pool.close()), check)
    assert descriptors() == before


def test_it_is_trimmed_while_something_is_lent(ends: Ends) -> None:
    def prepare(number: int) -> list[bytes]:
        ends.carry(filled(number))
        return [filled(number + 1)]

    def check(sent: list[bytes], results: list[Any]) -> None:
        assert [bytes(view) for view in ends.open(results[0])] == sent

    duel(ROUNDS, prepare, (ends.pool.lend, lambda _: ends.pool.trim(float("inf"))), check)
