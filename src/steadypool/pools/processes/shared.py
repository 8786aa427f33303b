"""`share`: a large value that many jobs read, sent once."""

from __future__ import annotations

import pickle
import sys
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from steadypool.pools.processes.ipc.buffers import layout
from steadypool.pools.processes.ipc.memory_file import Buffer
from steadypool.pools.processes.ipc.segments import attach, make_segment, segment_of
from steadypool.pools.processes.packets import workers_import_main

T = TypeVar("T")
STREAM_MOST = 64 * 1024
"""Bytes of pickle that may come to each job without anything being shared."""
_NOTHING: Any = object()
NOTHING_SHARED = (
    "share() takes what has large buffers: bytes, NumPy arrays, data frames of pandas, tables of PyArrow. Of this {} "
    "nothing would be shared, each job would get a copy. Pass it as an argument instead. An array that is not "
    "contiguous can be shared after numpy.ascontiguousarray(), a frame of Polars as its to_arrow()"
)


class Shared(Generic[T]):
    """A value in memory that all processes see. Give the handle to jobs as an argument; they read its `value`.

    The memory is freed once the handle is closed or dropped, no array made of it is left, and the jobs that were given
    it have ended.
    """

    __slots__ = ("__weakref__", "_sizes", "_value", "_whole")

    def __init__(self, sizes: list[int], whole: memoryview) -> None:
        self._sizes = sizes
        """Of the pickle, and of its buffers."""
        self._whole: memoryview | None = whole
        self._value: T = _NOTHING

    @property
    def value(self) -> T:
        """The value, whose buffers are read-only. It is made when first asked for, in each job anew.

        Raises:
            ValueError: the handle was closed.
        """
        if self._value is _NOTHING:
            whole = self._open()
            offsets, _ = layout(self._sizes)
            stream, *buffers = (whole[at : at + size] for at, size in zip(offsets, self._sizes, strict=True))
            self._value = pickle.loads(stream, buffers=buffers)
        return self._value

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(self._sizes[1:])

    def close(self) -> None:
        """Free the memory, once the jobs that were given it have ended. May be called again."""
        self._value, self._whole = _NOTHING, None

    def _open(self) -> memoryview:
        if self._whole is None:
            raise ValueError("this shared value was closed: give it to jobs before that, inside its with block")
        return self._whole

    def __enter__(self) -> Shared[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Shared {self.nbytes:,} bytes{'' if self._whole is not None else ' closed'}>"

    def __reduce_ex__(self, protocol: Any) -> tuple[object, ...]:
        whole = self._open()
        by_descriptor = _for_new_process(whole)
        if by_descriptor is not None:
            return _from_descriptor, (self._sizes, *by_descriptor)
        # Pools send a segment by its descriptor (`ipc.segments`); whatever else pickles this gets a copy.
        return _from_memory, (self._sizes, pickle.PickleBuffer(whole) if protocol >= 5 else bytes(whole))


def _for_new_process(whole: memoryview) -> tuple[object, int] | None:
    """Its descriptor, for the arguments of a process that `multiprocessing` starts, and the size."""
    context = sys.modules.get("multiprocessing.context")
    segment = segment_of(whole)
    if context is None or context.get_spawning_popen() is None or segment is None or segment.fd is None:
        return None
    from multiprocessing.reduction import DupFd

    return DupFd(segment.fd), len(segment)


def _from_memory(sizes: list[int], memory: Buffer) -> Shared[Any]:
    return Shared(sizes, memoryview(memory).toreadonly())


def _from_descriptor(sizes: list[int], duplicate: Any, size: int) -> Shared[Any]:
    return Shared(sizes, memoryview(attach(duplicate.detach(), size)).toreadonly())


class _View:
    """Stands for bytes in a pickle that are to come out as a view of them."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        view = self._view
        if len(view.format) > 1:  # an order of bytes, or a structure, which no view of bytes can be cast to
            view = view.cast("B")
        return _as_view, (pickle.PickleBuffer(view), view.format, view.shape)


def _as_view(buffer: Buffer, format: str, shape: tuple[int, ...]) -> memoryview:
    view = memoryview(buffer).cast("B")
    return view.cast(format, shape) if 0 not in shape else view.cast(format)  # type: ignore[call-overload,no-any-return]


@overload
def share(value: bytes | bytearray | memoryview) -> Shared[memoryview]: ...
@overload
def share(value: T) -> Shared[T]: ...
def share(value: object) -> Shared[Any]:
    """Put a large value into memory that many jobs can read, and return the handle to give them.

    ::

        with share(numpy.load("big.npy")) as table:
            totals = list(pool.map(total_of_row, [table] * 1000, range(1000)))

    where ``total_of_row(table, row)`` reads ``table.value[row]``. It takes whatever pickles buffers beside its stream
    (protocol 5): NumPy arrays, data frames of pandas, tables of PyArrow (and so of Polars, by ``to_arrow``), containers
    of these. Of ``bytes``, ``bytearray`` and ``memoryview`` jobs see a read-only ``memoryview``. It is a copy: what you
    change in *value* later reaches no job. On threads and asyncio the same handle works.

    Raises:
        TypeError: nothing of the value would be shared.
        OSError: no memory, or no descriptor, to be had.
        Exception: whatever pickling raised.
    """
    if isinstance(value, Shared):
        raise TypeError("this is a shared value already: give it to jobs as it is")
    given = value
    if isinstance(value, bytes | bytearray | memoryview):
        value = _View(memoryview(value))
    stream, buffers = _dump(value)
    if not buffers and len(stream) > STREAM_MOST:
        raise TypeError(NOTHING_SHARED.format(type(given).__name__))
    parts: list[Buffer] = [stream, *(buffer.raw() for buffer in buffers)]
    sizes = [memoryview(part).nbytes for part in parts]
    offsets, total = layout(sizes)
    return Shared(sizes, memoryview(make_segment(parts, offsets, total)).toreadonly())


def _dump(value: object) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """The pickle, and every buffer beside it, small ones too: all of them are to be read-only."""
    buffers: list[pickle.PickleBuffer] = []
    refused: Exception | None = None
    try:
        stream = pickle.dumps(value, 5, buffer_callback=buffers.append)
        if b"__main__" not in stream or workers_import_main():
            return stream, buffers
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        refused = error
    from steadypool.pools.processes.ipc.by_value import dump_value

    try:
        return dump_value(value, _beside, main_by_name=workers_import_main())
    except Exception as error:
        if refused is not None and type(error) is type(refused):
            raise refused from None
        raise


def _beside(buffers: list[pickle.PickleBuffer], buffer: pickle.PickleBuffer) -> bool:
    buffers.append(buffer)
    return False
