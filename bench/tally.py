"""How many jobs several processes have done together: a number of each in a file that all have mapped."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from struct import pack_into, unpack_from

PLACES = 8
SIZE = PLACES * 8


class Tally:
    """One such file. Each process writes to its own place, and any may add up."""

    def __init__(self, path: str | Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            os.ftruncate(descriptor, SIZE)
            self._map = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)

    def write(self, place: int, count: int) -> None:
        """So many were done here, by now."""
        pack_into("q", self._map, place * 8, count)

    def total(self) -> int:
        """What all have done."""
        return sum(unpack_from(f"{PLACES}q", self._map))
