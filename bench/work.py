"""The jobs. They are importable by every worker, and import nothing heavy themselves."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_kept: Any = None


def nothing(*_: object) -> None:
    """A job that is all overhead."""


def give_back(value: Any) -> Any:
    """The argument."""
    return value


def spin(seconds: float) -> None:
    """Use the processor for *seconds*."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def hash_file(path: str) -> str:
    """Hash a file."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def hash_block(block: bytes) -> bytes:
    """Hash some bytes."""
    return hashlib.sha256(block).digest()


def sum_array(number: int) -> float:
    """A little NumPy."""
    import numpy

    array = numpy.arange(1000.0) + number
    return float((array * array).sum())


def compress(path: str) -> int:
    """Compress a file; how many bytes that leaves."""
    return len(zlib.compress(Path(path).read_bytes(), 6))


def resize(picture: bytes) -> bytes:
    """Make a picture small."""
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(picture)).resize((160, 120)).save(file, "JPEG")
    return file.getvalue()


def parse_file(path: str) -> int:
    """Parse a Python file; how many statements it has at its top, or 0 if it is no valid Python."""
    try:
        return len(ast.parse(Path(path).read_bytes()).body)
    except (SyntaxError, ValueError):
        return 0


def touch(array: Any) -> int:
    """Look at every page of an array."""
    return int(array[::4096].sum())


def touch_shared(shared: Any) -> int:
    """As `touch`, of an array that is shared."""
    return touch(shared.value)


def keep_array(size: int) -> None:
    """Make an array of *size* bytes for `kept_array`."""
    import numpy

    global _kept
    _kept = numpy.ones(size, dtype=numpy.uint8)


def kept_array() -> Any:
    """The array that this process keeps; made at the first call."""
    if _kept is None:
        keep_array(64 * 2**20)
    return _kept


def crash() -> None:
    """Take the worker along."""
    os._exit(3)


def hang(started: str) -> None:
    """Write down when it began, and go on for ever."""
    Path(started).write_text(repr(time.monotonic()), encoding="ascii")
    while True:
        time.sleep(60)


def seconds_for_all(work: str, inputs: Sequence[object]) -> float:
    """How long this process takes for its share, with no pool in the way."""
    fn = globals()[work]
    begin = time.perf_counter()
    for item in inputs:
        fn(item)
    return time.perf_counter() - begin
