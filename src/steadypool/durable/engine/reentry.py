"""A thread that is in the middle of a call, and is interrupted there by code that calls again.

Python runs a signal handler on the main thread between any two steps of it, and a finalizer on any thread. What the
thread has taken it cannot give back before that code returns: who waits for it there waits for ever, or until their
patience ends, also by way of another thread. So such a call gets `EngineBusy` at once. It is an error that a handler
can do something about: note what is to be enqueued, and enqueue it later.

What does not stand in another's way is not refused: an enqueue while the thread looks, or waits for another enqueue.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from steadypool.durable.engine.errors import EngineBusy

_writing: set[int] = set()
"""Threads that keep others from writing."""


def check_not_writing() -> None:
    """Do nothing, unless this thread is in the middle of a call that keeps others from writing.

    Raises:
        EngineBusy: it is.
    """
    if threading.get_ident() in _writing:
        raise interrupted()


@contextmanager
def writing() -> Iterator[None]:
    """A block that keeps others from writing.

    Raises:
        EngineBusy: this thread is in such a block already.
    """
    check_not_writing()
    try:
        mark()
        yield
    finally:
        unmark()


def mark() -> bool:
    """The thread keeps others from writing from now on; whether it did not before."""
    me = threading.get_ident()
    fresh = me not in _writing
    _writing.add(me)
    return fresh


def unmark() -> None:
    """It does so no more."""
    _writing.discard(threading.get_ident())


class OneAtATime:
    """A lock that a thread cannot wait for while it has it; *what* it guards is for messages."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._here: set[int] = set()
        """Threads that wait for it or have it."""

    def take(self, seconds: float) -> None:
        """Take the lock; `give` follows, in a ``finally``.

        Raises:
            EngineBusy: another thread had it for so many *seconds*; or this one has it.
        """
        me = threading.get_ident()
        if me in self._here:
            raise interrupted()
        had = False
        try:
            self._here.add(me)
            had = self._lock.acquire(timeout=max(0.001, seconds))
        finally:
            if not had:
                self._here.discard(me)
        if not had:
            raise _untouched(EngineBusy(f"another thread of this process has used {self._what} for {seconds:g} s"))

    def give(self) -> None:
        """Give the lock back."""
        self._lock.release()
        self._here.discard(threading.get_ident())


def interrupted() -> EngineBusy:
    """The error for who interrupts its own thread."""
    return _untouched(
        EngineBusy(
            "this thread is in the middle of a call to the queue, which a signal handler or a finalizer has "
            "interrupted: it cannot call again from there; note what is to be done, and do it later"
        )
    )


def _untouched(error: EngineBusy) -> EngineBusy:
    error.nothing_happened = True
    return error


def _in_child() -> None:
    _writing.clear()  # the numbers of the parent's threads are given again, and nothing of theirs goes on here


os.register_at_fork(after_in_child=_in_child)
