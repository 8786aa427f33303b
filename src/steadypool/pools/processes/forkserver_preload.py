"""What the forkserver imports last, before it forks the first worker: what workers need. Nothing else imports this.

What is there by then stays for good, so no collection is to look at it, and the pages stay shared with the workers.

The forkserver is in the program's process group, and leaves with the program. What is sent to the whole group does not
end it before: Ctrl-\\ at the terminal, which a program may handle, and the SIGTERM of a service manager. What it forks
gets what these signals did before.
"""

from __future__ import annotations

import gc
import os
import signal

from steadypool.pools.processes import child

__all__ = ["child"]


STAYS_AT = (signal.SIGQUIT, signal.SIGTERM)


def _stay(number: int, frame: object) -> None:
    """The forkserver leaves when the program does."""


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STAYS_AT)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STAYS_AT)


def _become_ordinary() -> None:
    for number, handler in _before.items():
        signal.signal(number, handler)
    _let_through()  # what has come meanwhile was meant for this process


_before = {number: signal.signal(number, _stay) for number in STAYS_AT}
os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_become_ordinary)
gc.collect()
gc.freeze()
