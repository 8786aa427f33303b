"""Where a queue is kept: the address that it was given, or that of the environment."""

from __future__ import annotations

import os

from steadypool.durable.engine.url import (
    URL_VARIABLE,
    check_address,
    check_url,
    current_folder,
    in_folder,
    is_same_place,
    shown,
)

TEST_VARIABLE = "STEADYPOOL_TEST_URL"
"""Has the process that runs a test, and the address of the test's store, for the processes that it starts: their queues
have addresses of their own, perhaps those of production."""


def handed_down() -> str | None:
    """The address of the store of the test that has started this process; ``None``: none has."""
    given = os.environ.get(TEST_VARIABLE)
    if not given:
        return None
    process, _, url = given.partition(" ")
    return None if process == str(os.getpid()) else url


class Address:
    """Of one queue. A relative path begins at the folder that was the current one when it was made.

    Raises:
        TypeError, ValueError: for an invalid address.
    """

    def __init__(self, url: str | None) -> None:
        self._folder = current_folder()
        self.own = None if url is None else self._fixed(url)

    def find(self, instead: str | None) -> str:
        """The address: *instead*, that of a test which has started this process, the queue's own, or the environment's.

        Raises:
            ValueError: there is none.
        """
        url = instead or handed_down() or self.own or os.environ.get(URL_VARIABLE)
        if not url:
            raise ValueError(f"this queue has no address: Queue('sqlite:///jobs.db'), or the variable {URL_VARIABLE}")
        return self._fixed(url)

    def take(self, url: str, used_at: str | None) -> None:
        """See `Queue.use_address`; *used_at*: where it is open."""
        url = self._fixed(url)
        own = self.own or used_at
        if own is not None and not is_same_place(own, url):
            raise ValueError(
                f"the queue has an address of its own, {shown(own)}, and cannot have another, {shown(url)}: leave out "
                f"the latter (--url), or make it Queue(), which takes the address that it is given, or {URL_VARIABLE}"
            )
        self.own = self.own or url

    def _fixed(self, url: str) -> str:
        check_url(url)
        fixed = in_folder(url, self._folder)
        check_address(fixed)
        return fixed
