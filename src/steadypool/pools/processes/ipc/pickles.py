"""Calls and results as bytes: pickle, `cloudpickle` for what pickle refuses, big buffers beside the stream."""

from __future__ import annotations

import copyreg
import io
import mmap
import pickle
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from steadypool.model.options import Task, task_name
from steadypool.pools.processes.ipc.main_globals import TravelledFunction
from steadypool.pools.processes.ipc.memory_file import BIG_BYTES, Buffer, in_big_pages
from steadypool.pools.processes.ipc.segments import LEAST, Segment, segment_of
from steadypool.pools.processes.ipc.wire import MAX_DESCRIPTORS

if TYPE_CHECKING:
    from steadypool.pools.processes.ipc.by_value import FunctionPickle

OUT_OF_BAND = LEAST
"""Bytes from which a buffer travels beside the stream."""
INLINE_MOST = 48 * 1024
"""Bytes of stream that fit a packet with its header; more travels in a buffer."""

INLINE_FUNCTION_MOST = 16 * 1024
"""Bytes of a function that came by value which fit a packet beside its arguments; more travels with them."""

DEFINED_ANEW = (
    "{} was defined anew, by a reload of its module perhaps: workers that have imported the module go on with the old "
    "code. Make a new pool to have them import it again"
)

HALF_IMPORTED = (
    "module {!r} has not been imported to its end, so a worker that is forked now could not run {}. Start pools under "
    '`if __name__ == "__main__":` in the main module, or in a function; not in the body of a module whose functions '
    "they run"
)

NAMES = b"\x93"
"""The only instruction by which a pickle of protocol 5 names something; but for numbers that stand for names, of which
programs may have some in `copyreg`."""
_SIMPLE = frozenset({int, float, complex, bool, str, type(None)})
_HAS_BIG_PAGES = hasattr(mmap, "MADV_HUGEPAGE")
_BYTES = (bytes, bytearray)
_NAMELESS = _SIMPLE | {bytes}
_CACHING = type(lru_cache(len))
_BY_REFERENCE = (FunctionType, BuiltinFunctionType, type, Task, _CACHING)


class Pickled:
    """A pickle and the buffers that belong to it."""

    __slots__ = ("buffers", "stream")

    def __init__(self, stream: bytes, buffers: list[pickle.PickleBuffer]) -> None:
        self.stream = stream
        self.buffers = buffers

    @property
    def is_big(self) -> bool:
        """Whether it has to travel in a buffer."""
        return bool(self.buffers) or len(self.stream) > INLINE_MOST

    @property
    def size(self) -> int:
        """Bytes of what is copied."""
        return sum(memoryview(part).nbytes for part in self.parts())

    def parts(self) -> list[Buffer]:
        """What is copied: the stream, and the buffers that are no segments."""
        segments = {at for at, _ in self.segments()}
        return [self.stream, *(buffer.raw() for at, buffer in enumerate(self.buffers) if at not in segments)]

    def segments(self) -> list[tuple[int, Segment]]:
        """The buffers that are shared memory already (`ipc.segments`), and their places among all of them."""
        found = [(at, segment) for at, buffer in enumerate(self.buffers) if (segment := segment_of(buffer.raw()))]
        return found[: MAX_DESCRIPTORS - 1]


class _Outside:
    """Stands for big bytes in a pickle, so that they travel beside the stream too. Pickle copies plain ones into it."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        kind = type(self.data)
        make = in_big_pages if _HAS_BIG_PAGES and kind is bytes and len(self.data) >= BIG_BYTES else kind
        return make, (pickle.PickleBuffer(self.data),)


def dump(value: object, *, main_by_name: bool = False, to_parent: bool = False, only_try: bool = False) -> Pickled:
    """Pickle a value. With *main_by_name* what belongs to ``__main__`` goes by reference, as pickle has it; so it does
    *to_parent*, where what has a name in a worker has it too. *only_try* duplicates no descriptor.

    Raises:
        Exception: whatever pickling raised; for what pickle refuses, what `cloudpickle` said of it.
    """
    if type(value) in _SIMPLE or (type(value) is tuple and _SIMPLE.issuperset(map(type, value))):
        return Pickled(pickle.dumps(value, 5), [])  # the short way for what most small jobs take and return
    buffers: list[pickle.PickleBuffer] = []
    keep = partial(_keep_big, buffers)
    value = _outside(value)
    try:
        stream = pickle.dumps(value, 5, buffer_callback=keep)
    except (pickle.PicklingError, AttributeError, TypeError) as refused:
        return _dump_by_value(value, refused, main_by_name=main_by_name, to_parent=to_parent, only_try=only_try)
    if NAMES not in stream or _is_nameless(value):
        return Pickled(stream, buffers)  # to search a big stream for longer words takes longer than all else
    if b"__main__" in stream and not main_by_name and not to_parent:
        # By reference it would be looked up in the worker's own __main__, which is another module.
        return _dump_by_value(value, None, only_try=only_try)
    if b"multiprocessing.connection" in stream and not only_try:
        return _dump_with_handles(value)
    return Pickled(stream, buffers)


def _dump_with_handles(value: object) -> Pickled:
    """Pickle the end of a pipe as `multiprocessing` does, with its descriptor; pickle would carry the bare number."""
    from multiprocessing.reduction import ForkingPickler

    buffers: list[pickle.PickleBuffer] = []
    with io.BytesIO() as file:
        ForkingPickler(file, 5, True, partial(_keep_big, buffers)).dump(value)
        return Pickled(file.getvalue(), buffers)


def _dump_by_value(value: object, refused: Exception | None, **how: bool) -> Pickled:
    from steadypool.pools.processes.ipc import by_value

    try:
        return Pickled(*by_value.dump_value(value, _keep_big, **how))
    except Exception as error:
        if refused is not None and type(error) is type(refused):
            raise refused from None
        raise


def _keep_big(buffers: list[pickle.PickleBuffer], buffer: pickle.PickleBuffer) -> bool:
    """Pickle's question whether a buffer goes into the stream."""
    if buffer.raw().nbytes < OUT_OF_BAND:
        return True
    buffers.append(buffer)
    return False


def _outside(value: object) -> object:
    """The value with big bytes at its top marked to travel outside."""
    if type(value) in _BYTES and isinstance(value, _BYTES):
        return _Outside(value) if len(value) >= OUT_OF_BAND else value
    if type(value) is tuple:
        return tuple([_outside(item) if type(item) in _BYTES else item for item in value])
    return value


def _is_nameless(value: object) -> bool:
    """Whether the pickle surely names nothing: of bytes and the like, alone, in a row, or as the calls of a map."""
    if type(value) is not list and type(value) is not tuple:
        return type(value) in _NAMELESS
    kinds = set(map(type, value))
    return kinds <= _NAMELESS or (kinds == {tuple} and _NAMELESS.issuperset(map(type, chain.from_iterable(value))))


def load(stream: Buffer, buffers: Sequence[Buffer] = ()) -> Any:
    """The value again. Raises whatever unpickling raises."""
    return pickle.loads(stream, buffers=buffers)


def is_plain(stream: Buffer) -> bool:
    """Whether loading a pickle of ours runs no code but Python's own: it names no class and no function."""
    return NAMES not in stream and not copyreg._inverted_registry  # type: ignore[attr-defined]


class Functions:
    """Pickles of functions that are the same for many jobs: by reference, or by value until something changes."""

    MOST = 1000

    def __init__(self, main_by_name: bool) -> None:
        self.main_by_name = main_by_name
        """Whether workers can import the program's main module, as `multiprocessing` lets them where it is a file."""
        self.to_forks = False
        """Whether workers are forked, and so get modules as they are at that moment."""
        self._known: dict[Callable[..., object], bytes] = {}
        self._names: dict[bytes, Callable[..., object]] = {}
        self._by_value: dict[Callable[..., object], FunctionPickle] = {}
        self.without_arguments: dict[bytes, Any] = {}
        """What a call of each without arguments travels as."""

    def carry_main_by_value(self) -> None:
        """A worker did not find something of the main module under its name."""
        self.main_by_name = False
        self._known.clear()
        self._names.clear()

    def dump(self, fn: Callable[..., object]) -> bytes | None:
        """The pickle of a function that has a name; ``None`` for one that must travel with its call.

        Raises:
            RuntimeError: a forked worker could not run it.
        """
        try:
            return self._known[fn]
        except (KeyError, TypeError):
            return self._dump(fn)

    def _dump(self, fn: Callable[..., object]) -> bytes | None:
        if not isinstance(fn, _BY_REFERENCE):
            return None
        if not self.main_by_name and getattr(fn, "__module__", None) == "__main__":
            return self._dump_by_value(fn)
        if self.to_forks and _is_being_imported(fn):
            raise RuntimeError(HALF_IMPORTED.format(fn.__module__, task_name(fn)))
        bound_to = getattr(fn, "__self__", None)
        if bound_to is not None and not isinstance(bound_to, ModuleType):
            return None  # a built-in method: what it is bound to may change
        try:
            stream = pickle.dumps(fn, 5)
        except Exception:
            return self._dump_by_value(fn)
        if len(self._known) < self.MOST:
            self._known[fn] = stream
            if self._names.setdefault(stream, fn) is not fn:
                warnings.warn(DEFINED_ANEW.format(task_name(fn)), RuntimeWarning, stacklevel=2)
        return stream

    def _dump_by_value(self, fn: Callable[..., object]) -> bytes | None:
        """The pickle of a function of the main module, kept until something that it names has changed."""
        fn = fn.fn if isinstance(fn, Task) else fn
        if type(fn) is not FunctionType and type(fn) is not _CACHING:
            return None
        try:
            known = self._by_value.get(fn)
            if known is None or not known.is_current(fn):
                known = self._pickle_by_value(fn)
                if known is None:
                    return None
        except Exception:
            return None  # tried again with the call, where the error belongs to the job
        stream = known.stream
        return stream if len(stream) <= INLINE_FUNCTION_MOST else None

    def _pickle_by_value(self, fn: Callable[..., object]) -> FunctionPickle | None:
        from steadypool.pools.processes.ipc import by_value

        if not by_value.has_name(fn):
            return None
        self.without_arguments.clear()
        pickled = by_value.FunctionPickle(fn)
        if len(self._by_value) < self.MOST:
            self._by_value[fn] = pickled
        return pickled


def _is_being_imported(fn: Callable[..., object]) -> bool:
    """Whether the import of its module is under way, on this thread or another."""
    spec = getattr(sys.modules.get(getattr(fn, "__module__", None) or ""), "__spec__", None)
    return getattr(spec, "_initializing", False) is True


class LoadedFunctions:
    """The other end of `Functions`: what has been loaded once is not looked up again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Callable[..., object] | TravelledFunction] = {}

    def load(self, stream: bytes) -> Callable[..., object]:
        """The function. Raises whatever unpickling raises."""
        fn = self._known.get(stream)
        if fn is None:
            fn = pickle.loads(stream)
            if isinstance(fn, Task):
                fn = fn.fn
            self._known[stream] = fn
            if len(self._known) > Functions.MOST:
                self._known.clear()
        if isinstance(fn, TravelledFunction):
            fn = fn.ready()
            return fn.fn if isinstance(fn, Task) else fn
        return fn
