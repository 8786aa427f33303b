"""Big payloads between two processes: buffers of shared memory that are used again and again.

Memory is cheap to copy into, and dear to get: a page that the kernel has to make, zero and map costs five times what
writing it does. So the pages of a buffer stay, on both sides.

Theory of operation
-------------------
There is one direction. The *writer* has a `BufferPool`, the *reader* a `BufferReader`; a worker and its parent have
one of each: arguments go down, results come up. A buffer is a *slab*: a number, a capacity, an anonymous file that
both have mapped. For each number there is one byte in the page that the two share, the *mark*:

    FREE ──lend──▶ LENT ──last view gone──▶ FREE
                    │  ──never read────────▶ FREE     (by the writer: not sent, or taken back)
                    └──▶ GONE ──▶ FREE with a new slab

    who writes   FREE → LENT, LENT → FREE for what was never read, GONE → FREE: the writer
                 LENT → FREE and LENT → GONE for what was read: the reader
                 FREE → GONE, while the writer does nothing that could lend (its worker holds no job): the reader

So each mark has one writer at a time, no message says that a slab is free, and no lock is shared.

* *Lend.* The writer takes the smallest free slab that fits and is not far too large, marks it `LENT`, copies the parts
  into it, and sends its number. The first time, its descriptor goes along, and is closed then. A slab that comes back
  unread with its descriptor is forgotten: the reader does not know it.
* *Read.* The reader maps what it does not know, and gives out views of a *loan*: a ctypes array over the mapping. All
  views hold it, whatever has been made of them, and when it goes, the mark becomes `FREE`. That may be on any thread,
  in the middle of anything, by the garbage collector: so the callback takes no lock. It takes the loan out of a
  dictionary, and only who succeeds in that writes the mark; a writer that sees `FREE` may lend the number again at
  once. On processors that reorder, the lock that is tried in between keeps reads of the slab before that write.
* *Small, or kept.* Up to `SMALL` bytes are copied out when they come. So is what comes while the views that are kept
  hold `KEPT_BYTES` already: a program that keeps its results has them in its own memory, and the slabs go on.
* *Too much.* Up to `POOL_BYTES` are in a pool, lent or free. What does not fit travels in a slab of its own, number 0:
  it has no mark, always takes its descriptor along, and goes with its views.
* *The descriptor is lost* (the reader has too many open), or it cannot be mapped: `GONE`. The writer, when it next
  looks, forgets the slab.
* *Fork.* The child of a job sees the same memory, and its views are not counted. So whatever is lent is `GONE` before
  a process forks: no process will write there again. In the child, which has another process id, callbacks do
  nothing, and it forgets what is not lent.
* *Death of a worker, close of a pool.* The parent's end is closed: it forgets its slabs. Views of results stay valid,
  the kernel keeps their pages. They hold on to the page with the marks, which so can be written to until the last has
  gone. A slab that a killed worker was about to fill has no reader any more.
* *Trim.* When none was used for a while, the parent gives the memory of free slabs back for both directions
  (`pools.processes.trim`): the pages go at once (``MADV_REMOVE``), though the worker still has them mapped. It need not
  wake for that. A result that is kept meanwhile becomes `GONE`, and its pages go with its last view.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import threading
import weakref
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Final, NamedTuple

from steadypool.model.clock import monotonic
from steadypool.pools.processes.ipc.memory_file import (
    Buffer,
    advise,
    anonymous_file,
    copy_into,
    mapped,
    private_memory,
    read_copy,
    write_parts,
)
from steadypool.pools.processes.ipc.segments import Segment
from steadypool.pools.processes.ipc.wire import lost_descriptor

FREE, LENT, GONE = range(3)
NUMBERS: Final = 256
"""Marks of a direction. The first is that of no slab."""
POOL_BYTES: Final = 66 << 20
"""Of all slabs of a pool: room for one array of 64 MB and what stands before it."""
KEPT_BYTES: Final = POOL_BYTES // 2
"""Of slabs that views may keep; one may be larger."""
SMALL: Final = 128 * 1024
"""Up to here a copy costs less than a loan."""
_LEAST: Final = 32 * 1024
_WHOLE: Final = 1 << 20
"""Capacities are powers of two up to that, and multiples of it beyond."""
_HEAD: Final = 4096
"""More than that: an array of such a size has a pickle with it."""
_WASTE: Final = 4
"""A slab may be so many times too large."""
_ALIGNED: Final = 64
"""Parts begin at multiples of this: what computes with them may need it."""

_fence = threading.Lock()


class Loan(NamedTuple):
    """A slab that was lent, as its number is sent. Who has the loan owns the descriptor."""

    number: int
    capacity: int
    sizes: list[int]
    """Of the parts."""
    fd: int | None
    """What the reader has to have with it; ``None``: it knows this slab."""
    segments: Sequence[tuple[int, Segment]] = ()
    """What else belongs to the payload, and at which places among its buffers."""

    def describe(self) -> bytes:
        """What the reader has to know."""
        shared = [(at, segment.key, len(segment)) for at, segment in self.segments]
        return pickle.dumps((self.number, self.capacity, self.sizes, self.fd is not None, shared))

    def fds(self) -> list[int]:
        """The descriptors that have to go along."""
        own = [] if self.fd is None else [self.fd]
        return own + [segment.fd for _, segment in self.segments if segment.fd is not None]


class Description(NamedTuple):
    """A loan at its other end."""

    number: int
    capacity: int
    sizes: list[int]
    is_new: bool
    shared: list[tuple[int, int, int]]
    """Place among the buffers, key and size of each segment."""

    @classmethod
    def read(cls, data: bytes) -> Description:
        """What `Loan.describe` has written."""
        return cls(*pickle.loads(data))


class _Slab:
    """A writer's."""

    __slots__ = ("capacity", "memory", "used")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.memory: mmap.mmap | None = None
        self.used = monotonic()
        """When it was lent last."""

    def make(self) -> int:
        """Make its memory, and return the descriptor. Raises `OSError`."""
        fd = anonymous_file()
        try:
            os.ftruncate(fd, self.capacity)
            self.memory = mapped(fd, self.capacity, mmap.mmap)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def fill(self, parts: Sequence[Buffer], offsets: Sequence[int]) -> None:
        """Copy the parts to their places."""
        assert self.memory is not None
        view = memoryview(self.memory)
        for part, begin in zip(parts, offsets, strict=True):
            data = memoryview(part).cast("B")
            copy_into(view[begin : begin + len(data)], data)

    def let_go(self, *, was_free: bool) -> None:
        """Give up the memory; its pages at once if no view of them is left."""
        if was_free and self.memory is not None:
            advise(self.memory, "MADV_REMOVE")


class BufferPool:
    """The writer's slabs. Any thread may call; one at a time lends."""

    def __init__(self, marks: memoryview) -> None:
        self._marks = marks
        self._slabs: dict[int, _Slab] = {}
        self._most = POOL_BYTES
        self._lock = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether there is no slab."""
        return not self._slabs

    def lend(self, parts: Sequence[Buffer], segments: Sequence[tuple[int, Segment]] = ()) -> Loan:
        """Put the parts into a slab, which is the reader's from now on. The segments are sent with it.

        Raises:
            OSError: no memory, or no descriptor, to be had.
        """
        sizes = [memoryview(part).nbytes for part in parts]
        offsets, total = layout(sizes)
        with self._lock:
            number = self._free_slab(total) or self._new_slab(total)
            if not number:
                return _lend_once(parts, offsets, Loan(0, total, sizes, None, segments))
            slab = self._slabs[number]
        fd = None
        try:
            if slab.memory is None:
                fd = slab.make()
            slab.fill(parts, offsets)
        except BaseException:
            self._forget(number)
            if fd is not None:
                os.close(fd)
            raise
        return Loan(number, slab.capacity, sizes, fd, segments)

    def take_back(self, number: int, is_new: bool) -> None:
        """What was lent under this number has not been read, and never will be."""
        with self._lock:
            slab = self._slabs.get(number)
            if slab is not None:
                self._marks[number] = FREE
                if is_new:
                    self._slabs.pop(number).let_go(was_free=True)

    def was_sent(self, loan: Loan, sent: bool | None) -> None:
        """Whether the loan has left; ``None``: perhaps, an interrupt came in between."""
        if sent is False:
            self.take_back(loan.number, loan.fd is not None)
        if loan.fd is not None:
            os.close(loan.fd)

    def trim(self, before: float) -> bool:
        """Give up what is free and was not used since *before* (`time.monotonic`). Says whether anything was since."""
        with self._lock:
            self._drop_gone()
            old = [n for n, slab in self._slabs.items() if slab.used < before and self._marks[n] == FREE]
            slabs = [self._slabs.pop(number) for number in old]
            was_used = any(slab.used >= before for slab in self._slabs.values())
        for slab in slabs:
            slab.let_go(was_free=True)
        return was_used

    def close(self) -> None:
        """The reader is gone: forget all slabs."""
        with self._lock:
            slabs, self._slabs, self._most = self._slabs, {}, 0
        for slab in slabs.values():
            slab.let_go(was_free=False)

    def after_fork(self) -> None:
        """In a forked child, where another thread may have held the lock for ever."""
        self._lock = threading.Lock()
        self.close()

    def _free_slab(self, total: int) -> int:
        """The number of the slab to take, marked as lent; 0: there is none. The lock is held."""
        best, most = 0, _WASTE * max(total, _LEAST)
        for number, slab in self._slabs.items():
            if total <= slab.capacity <= most and self._marks[number] == FREE:
                best, most = number, slab.capacity - 1
        if best:
            self._marks[best] = LENT
            self._slabs[best].used = monotonic()
        return best

    def _new_slab(self, total: int) -> int:
        """The number of a new one, marked as lent and still without memory; 0: there may be no more of that size."""
        capacity = _capacity(total)
        if capacity > self._most:
            return 0
        self._drop_gone()
        room = self._most - capacity - sum(slab.capacity for slab in self._slabs.values())
        free = [n for n in self._slabs if self._marks[n] == FREE]
        for number in sorted(free, key=lambda n: self._slabs[n].used):
            if room >= 0 and len(self._slabs) < NUMBERS - 1:
                break
            slab = self._slabs.pop(number)
            room += slab.capacity
            slab.let_go(was_free=True)
        if room < 0 or len(self._slabs) >= NUMBERS - 1:
            return 0
        number = next(n for n in range(1, NUMBERS) if n not in self._slabs)
        self._slabs[number] = _Slab(capacity)
        self._marks[number] = LENT
        return number

    def _drop_gone(self) -> None:
        for number in [n for n in self._slabs if self._marks[n] == GONE]:
            self._marks[number] = FREE
            self._slabs.pop(number).let_go(was_free=False)

    def _forget(self, number: int) -> None:
        """It could not be filled, and the reader knows nothing of it."""
        with self._lock:
            if self._slabs.pop(number, None) is not None:
                self._marks[number] = FREE


class Received:
    """Parts that have come."""

    __slots__ = ("_copies", "_sizes", "_whole")

    def __init__(self, whole: memoryview, sizes: list[int], copies: bool) -> None:
        self._whole = whole
        self._sizes = sizes
        self._copies = copies
        """Too much is lent to leave this where it is."""

    @property
    def is_small(self) -> bool:
        """Whether it takes no time to look at them."""
        return self._whole.nbytes <= SMALL

    def parts(self) -> list[memoryview]:
        """They can be written to, and belong to the caller alone."""
        offsets, total = layout(self._sizes)
        if self._copies:
            self._whole, self._copies = _copy(self._whole, total), False
        return [self._whole[at : at + size] for at, size in zip(offsets, self._sizes, strict=True)]


class BufferReader:
    """The reader's mappings. Any thread may call; one at a time opens."""

    def __init__(self, marks: memoryview) -> None:
        self._marks = marks
        self._slabs: dict[int, mmap.mmap] = {}
        self._lent: dict[int, weakref.ref[object]] = {}
        self._kept: dict[int, weakref.ref[object]] = {}
        """Loans of slabs that are forgotten: the pages go with them."""
        self._used = 0.0
        self._pid = os.getpid()
        _readers.add(self)

    @property
    def is_empty(self) -> bool:
        """Whether it has no slab mapped."""
        return not self._slabs

    def open(self, lent: Description, fd: int | None) -> Received:
        """What came under this number, with the slab's descriptor if it is new. Closes that.

        Raises:
            OSError: its memory cannot be had here.
        """
        number, capacity, sizes, is_new, _ = lent
        total = layout(sizes)[1]
        self._used = monotonic()
        if is_new:
            self._slabs.pop(number, None)
            if fd is None:
                self._mark(number, GONE)
                raise lost_descriptor("the memory of a big payload did not come with it")
            try:
                memory = mapped(fd, capacity, mmap.mmap)
            except OSError:  # too many mappings
                self._mark(number, GONE)
                return Received(read_copy(fd, total), sizes, False)
            finally:
                os.close(fd)
            if not number:
                return Received(memoryview(memory), sizes, False)
            self._slabs[number] = memory
        known = self._slabs.get(number)
        if known is None:
            raise OSError(f"buffer {number}, which a big payload is in, is not known here: please report it")
        return self._open(number, known, total, sizes)

    def _open(self, number: int, memory: mmap.mmap, total: int, sizes: list[int]) -> Received:
        if total <= SMALL:
            copy = memoryview(bytearray(memoryview(memory)[:total]))
            self._mark(number, FREE)
            return Received(copy, sizes, False)
        slabs = self._slabs
        kept = sum(len(slabs[other]) for other in [*self._lent] if other in slabs)
        loan = (ctypes.c_ubyte * len(memory)).from_buffer(memory)
        self._lent[number] = weakref.ref(loan, partial(self._came_back, number))
        return Received(memoryview(loan).cast("B"), sizes, bool(kept) and kept + len(memory) > KEPT_BYTES)

    def _came_back(self, number: int, loan: object) -> None:
        """The last view of this loan is gone. On any thread, in the middle of anything."""
        if os.getpid() == self._pid and self._lent.pop(number, None) is not None:
            self._mark(number, FREE)

    def _mark(self, number: int, mark: int) -> None:
        if _fence.acquire(blocking=False):
            _fence.release()
        self._marks[number] = mark

    def was_used(self, since: float) -> bool:
        """Whether anything has come since then (`time.monotonic`)."""
        return self._used >= since and not self.is_empty

    def forget(self) -> list[mmap.mmap]:
        """Forget the slabs, and return the memory that no view is left of. The writer must lend nothing meanwhile."""
        free = []
        for number, memory in [*self._slabs.items()]:
            loan = self._lent.pop(number, None)
            if loan is None and self._marks[number] != FREE:
                continue  # its last view is going just now: another thread is about to write the mark
            del self._slabs[number]
            self._mark(number, GONE)
            if loan is None or (lent := loan()) is None:
                free.append(memory)
                continue
            self._kept[id(memory)] = weakref.ref(lent, partial(self._remove, memory))
            del lent
        return free

    def _remove(self, memory: mmap.mmap, loan: object) -> None:
        if os.getpid() == self._pid and self._kept.pop(id(memory), None) is not None:
            advise(memory, "MADV_REMOVE")

    def pin(self) -> None:
        """This process is about to fork: the child will see what is lent, so nothing may be written there any more."""
        if os.getpid() != self._pid:
            return  # in a child of such a child: the marks are not its own
        self._kept.clear()
        for number in [*self._lent]:
            if self._lent.pop(number, None) is not None:
                self._slabs.pop(number, None)
                self._mark(number, GONE)

    def close(self) -> None:
        """The writer is gone: forget all slabs. Views stay as they are."""
        _readers.discard(self)
        self._slabs.clear()
        self._lent.clear()
        self._kept.clear()


_readers: set[BufferReader] = set()


def _pin_all() -> None:
    for reader in _readers.copy():
        reader.pin()


os.register_at_fork(before=_pin_all, after_in_parent=_pin_all)  # and what another thread was given in between


def layout(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where each part begins, and how many bytes that makes."""
    *offsets, total = accumulate((-(-size // _ALIGNED) * _ALIGNED for size in sizes), initial=0)
    return offsets, max(1, total)


def _capacity(total: int) -> int:
    data = total - _HEAD
    return _HEAD + (-(-data // _WHOLE) * _WHOLE if data > _WHOLE else max(_LEAST, 1 << (data - 1).bit_length()))


def _lend_once(parts: Sequence[Buffer], offsets: list[int], loan: Loan) -> Loan:
    """A slab for these parts alone."""
    fd = anonymous_file()
    try:
        os.ftruncate(fd, loan.capacity)
        write_parts(fd, parts, offsets)
    except BaseException:
        os.close(fd)
        raise
    return loan._replace(fd=fd)


def _copy(source: memoryview, total: int) -> memoryview:
    copy = private_memory(total)
    copy_into(copy, source[:total])
    return copy
