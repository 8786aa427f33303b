"""Numbers that nothing else has, or ever had, or will have.

A store can go back in time: a replica takes over that lacks the last commits, or a backup is put back. What it counts
it then counts again. So a name that must mean one thing for ever has a random part. It comes from the operating system:
a program may seed `random` with a number of its own, and a forked child goes on where its parent was.
"""

from __future__ import annotations

import os

NONCE_BYTES = 5


def random_number() -> int:
    """63 random bits: what a database has room for."""
    return int.from_bytes(os.urandom(8)) >> 1


def new_nonce() -> int:
    """40 random bits, for all jobs that are put by one call: their numbers differ."""
    return int.from_bytes(os.urandom(NONCE_BYTES))
