"""Every queue of this process: closed at its end, made anew after a fork, and moved elsewhere by tests."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Iterable
from typing import Self

from steadypool.durable.client.home import Home
from steadypool.durable.client.opened import Opened
from steadypool.durable.engine.url import is_same_place


class Elsewhere:
    """A ``with`` block in which queues keep their jobs at another address. What they had open stays as it is.

    Args:
        url: where.
        queues: which ones; ``None``: all of this process, those included that are made meanwhile.

    Raises:
        RuntimeError: they have been moved already.
    """

    def __init__(self, url: str, queues: Iterable[Home] | None = None) -> None:
        self._url = url
        self._chosen = None if queues is None else list(queues)
        self._before: list[tuple[Home, Opened]] = []

    def __enter__(self) -> Self:
        global _present
        if _present is not None:
            raise RuntimeError("the queues of this process are moved to a store of a test already: one at a time")
        _present = self
        for queue in list(_queues) if self._chosen is None else self._chosen:
            self._move(queue)
        return self

    def __exit__(self, *_: object) -> None:
        global _present
        _present = None
        for queue, before in self._before:
            here, queue._opened, queue._elsewhere = queue._opened, before, None
            here.close()
        self._before.clear()
        for queue in kept_at(self._url):  # one that the environment has led there
            queue._opened.close()

    @property
    def queues(self) -> list[Home]:
        """Those that are there."""
        return [queue for queue, _ in self._before]

    def came(self, queue: Home) -> None:
        """A queue was made."""
        if self._chosen is None:
            self._move(queue)

    def _move(self, queue: Home) -> None:
        self._before.append((queue, queue._opened))
        queue._opened, queue._elsewhere = Opened(lambda: queue.url), self._url


_queues: weakref.WeakSet[Home] = weakref.WeakSet()
_present: Elsewhere | None = None


def add(queue: Home) -> None:
    """A queue was made."""
    _queues.add(queue)
    if _present is not None:
        _present.came(queue)


def kept_at(url: str) -> list[Home]:
    """Those of this process that are open there, or would be."""
    return [queue for queue in list(_queues) if _is_at(queue, url)]


def _is_at(queue: Home, url: str) -> bool:
    try:
        return is_same_place(queue._opened.at or queue.url, url)
    except ValueError:
        return False  # it has no address


@atexit.register
def close_all() -> None:
    """Close what all of them have open."""
    for queue in list(_queues):
        queue._opened.close()


def _renew_all() -> None:
    for queue in list(_queues):
        queue._opened.renew_after_fork()


os.register_at_fork(after_in_child=_renew_all)  # at once, while there is one thread
