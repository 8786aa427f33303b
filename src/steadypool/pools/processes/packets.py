"""Jobs and chunks as frames of a packet: pickled once, by the thread that submits them."""

from __future__ import annotations

import itertools
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk
from steadypool.pools.processes.ipc.buffers import Loan
from steadypool.pools.processes.ipc.pickles import Functions, Pickled, dump, is_plain
from steadypool.pools.processes.ipc.wire import (
    CARRIED,
    IN_BUFFER,
    ITEMS_MOST,
    JOB,
    KEYWORDS,
    SEVERAL,
    SINGLE,
    WHOLE,
    call_frame,
)
from steadypool.pools.processes.unpicklable import culprit_note

_serials = itertools.count(ITEMS_MOST, ITEMS_MOST)


class PackedCall:
    """What of a job or a chunk does not change from one sending to the next."""

    __slots__ = ("call", "flags", "function", "main_by_name", "plain", "sizes")

    def __init__(self, flags: int, function: bytes, call: Pickled | None, main_by_name: bool) -> None:
        self.main_by_name = main_by_name
        """Whether what belongs to the main module goes by its name."""
        self.flags = flags
        self.function = function
        self.call = call
        self.plain: bytes | None = None
        """All that follows the header, if no buffer and nothing else is needed."""
        if call is None or not call.is_big:
            stream = b"" if call is None else call.stream
            self.plain = function + stream
            self.sizes = (len(function), 0, len(stream))

    def is_plain(self) -> bool:
        """Whether nothing that it was made of can have a finalizer of the user's."""
        return self.call is None or not (self.flags & WHOLE or not is_plain(self.call.stream))


_SETTLED = PackedCall(0, pickle.dumps(bool), None, False)
"""What is sent for a job that another thread has settled in the moment since it was put into the hand: a call without
effect. Its worker is to answer, since the hand waits for that."""


def pack_call(functions: Functions, job: Job) -> PackedCall:
    """Pickle the job's function and arguments. Raises what pickling raises, and says which argument it was."""
    try:
        return _pack_call(functions, job)
    except Exception as error:
        note = culprit_note(
            job._args, job._kwargs, lambda value: dump(value, main_by_name=functions.main_by_name, only_try=True)
        )
        if note:
            error.add_note(note)
        raise


def _pack_call(functions: Functions, job: Job) -> PackedCall:
    function = functions.dump(job._fn)
    by_name = functions.main_by_name
    if function is None:
        return PackedCall(WHOLE, b"", dump((job._fn, job._args, job._kwargs), main_by_name=by_name), by_name)
    if not job._args and not job._kwargs:
        known = functions.without_arguments.get(function)
        if known is None:
            known = functions.without_arguments[function] = PackedCall(0, function, None, by_name)
        return known
    if job._kwargs:
        return PackedCall(KEYWORDS, function, dump((job._args, job._kwargs), main_by_name=by_name), by_name)
    return PackedCall(0, function, dump(job._args, main_by_name=by_name), by_name)


def pack_chunk(functions: Functions, fn: Callable[..., object], calls: list[tuple[object, ...]]) -> PackedCall:
    """Pickle calls of one function together. Raises what pickling raises."""
    function, by_name = functions.dump(fn), functions.main_by_name
    flags = SEVERAL
    items: Sequence[object] = calls
    if set(map(len, calls)) == {1}:
        flags, items = SEVERAL | SINGLE, tuple(chain.from_iterable(calls))
    if function is None:
        return PackedCall(flags | WHOLE, b"", dump((fn, items), main_by_name=by_name), by_name)
    return PackedCall(flags, function, dump(items, main_by_name=by_name), by_name)


def next_serial() -> int:
    """A serial for the next sending."""
    return next(_serials)


def workers_import_main() -> bool:
    """Whether the main module can be imported by name or path: not in a REPL, a notebook or ``python -c``, and not the
    ``__main__`` of a package or a zip file, which `multiprocessing` has no worker import."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        name: str = spec.name
        return name.rpartition(".")[2] != "__main__"
    file = getattr(main, "__file__", None)  # "<stdin>" if the program comes from there
    return file is not None and os.path.isfile(file)  # a pipe cannot be read again


def packet_of(entries: Sequence[Job | Chunk], carried: bytes | None = None) -> tuple[bytes, Loan | None]:
    """The packet for this sending of these, and the buffer that it is in if it is big: then it is one of one entry.

    *carried* is the pickle of what sinks want done before the job.

    Raises:
        OSError: no memory, or no descriptor, for a buffer.
    """
    if len(entries) == 1:
        return _frame_of(entries[0], carried)
    return b"".join([_frame_of(entry, None)[0] for entry in entries]), None


def _frame_of(entry: Job | Chunk, carried: bytes | None) -> tuple[bytes, Loan | None]:
    packed: PackedCall = entry._packed or _SETTLED
    if (
        carried is None
        and packed.plain is not None
        and entry._options.bare
        and entry.attempts == 1
        and not packed.flags & WHOLE
    ):
        return JOB.pack(entry._serial, entry._number, packed.flags, *packed.sizes) + packed.plain, None
    flags, loan = packed.flags | (CARRIED if carried is not None else 0), None
    extras = _extras(entry, packed, carried)
    if packed.call is None:
        call = b""
    elif packed.call.is_big:
        loan = entry._worker.outgoing.lend(packed.call.parts(), packed.call.segments())
        flags |= IN_BUFFER
        call = loan.describe()
    else:
        call = packed.call.stream
    return call_frame(entry._serial, entry._number, flags, packed.function, extras, call), loan


def _extras(job: Job | Chunk, packed: PackedCall, carried: bytes | None) -> bytes:
    """What the job's context needs to know, unless that goes without saying."""
    options = job._options
    name = options.name
    if name is None and packed.flags & WHOLE:
        name = job._task_name
    attempt = job.attempts + options.earlier_attempts
    if carried is None and options.plain and attempt == 1 and name is None and options.id is None and not options.meta:
        return b""
    return pickle.dumps((options.id, name, attempt, options.timeout, job._total_ends, job._packed_meta, carried), 5)


def pack_meta(meta: Mapping[str, object]) -> bytes:
    """The ``meta`` option for the job's context; what cannot be pickled is shown as text."""
    try:
        return pickle.dumps(dict(meta), 5)
    except Exception:
        return pickle.dumps({key: repr(value) for key, value in meta.items()}, 5)
