"""Calls and results as bytes."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadypool import task
from steadypool.pools.processes.ipc.memory_file import BIG_BYTES
from steadypool.pools.processes.ipc.pickles import (
    INLINE_MOST,
    OUT_OF_BAND,
    Functions,
    LoadedFunctions,
    Pickled,
    dump,
    load,
)
from tests.patience import WAIT
from tests.pools.processes.ipc.ends import Ends

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def through(pickled: Pickled) -> Any:
    """What comes out at the other end, by way of a buffer."""
    stream, *buffers = Ends().carry(*pickled.parts())
    return load(stream, buffers)


@given(values)
def test_any_value_comes_back(value: Any) -> None:
    pickled = dump(value)
    assert load(pickled.stream, pickled.buffers) == value
    assert not pickled.is_big or len(pickled.stream) > INLINE_MOST


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("size", [0, 1, OUT_OF_BAND - 1, OUT_OF_BAND, OUT_OF_BAND + 1, BIG_BYTES - 1, BIG_BYTES])
def test_bytes_travel_beside_the_stream_once_they_are_big(kind: type, size: int) -> None:
    value = kind(b"x" * size)
    pickled = dump(value)
    assert len(pickled.buffers) == (size >= OUT_OF_BAND) == pickled.is_big
    assert len(pickled.stream) < OUT_OF_BAND + 100
    again = through(pickled)
    assert again == value and type(again) is kind


def test_big_bytes_among_arguments_travel_beside_the_stream_too() -> None:
    value = (b"a" * 50_000, "small", bytearray(b"b" * 50_000), b"c")
    pickled = dump(value)
    assert len(pickled.buffers) == 2 and len(pickled.stream) < 1000
    again = through(pickled)
    assert again == value and [type(item) for item in again] == [bytes, str, bytearray, bytes]


def test_bytes_deep_inside_travel_too() -> None:
    value = {"deep": [b"x" * 200_000]}
    pickled = dump(value)
    assert pickled.is_big and through(pickled) == value


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(0,), (10,), (1000, 1000)])
def test_arrays_travel_beside_the_stream(shape: tuple[int, ...], order: Any) -> None:
    array = numpy.asarray(numpy.random.default_rng(1).random(shape), order=order)
    pickled = dump((array, 1))
    assert len(pickled.buffers) == (array.nbytes >= OUT_OF_BAND)
    again, one = through(pickled)
    assert one == 1 and numpy.array_equal(again, array) and again.flags.writeable


def test_a_part_of_an_array_comes_back_as_that_part() -> None:
    array = numpy.arange(1_000_000).reshape(1000, 1000)[::2, 1::3]
    assert numpy.array_equal(through(dump(array)), array)


class SubBytes(bytes):
    """Bytes of a class of its own."""


def test_a_subclass_stays_one() -> None:
    again = through(dump(SubBytes(b"x" * 50_000)))
    assert type(again) is SubBytes and again == b"x" * 50_000


def test_what_pickle_refuses_goes_by_value() -> None:
    add = 3
    double, again = load(dump((lambda x: x * 2, lambda x: x + add)).stream)
    assert double(4) == 8 and again(4) == 7


def test_what_cannot_be_pickled_says_so() -> None:
    with pytest.raises(TypeError, match="pickle"):
        dump(iter_that_runs())


def iter_that_runs() -> Any:
    return (x for x in [1])


def test_what_its_own_pickling_raises_comes_out() -> None:
    class Refuses:
        """Does not want to be pickled."""

        def __reduce__(self) -> Any:
            raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        dump(Refuses())


MAIN = """
import pickle, sys
from steadypool.pools.processes.ipc.pickles import dump
def own(x): return x + 1
class Own: pass
sys.stdout.buffer.write(pickle.dumps((dump((own, 4)).stream, dump((own, 4), main_by_name=True).stream)))
"""


def test_what_belongs_to_the_main_module_goes_by_value_unless_told_otherwise() -> None:
    done = subprocess.run([sys.executable, "-c", MAIN], capture_output=True, check=True, timeout=WAIT)
    by_value, by_name = pickle.loads(done.stdout)
    fn, argument = load(by_value)
    assert fn(argument) == 5
    with pytest.raises(AttributeError):
        load(by_name)


IN_CALLS = """
import pickle, sys
from steadypool.pools.processes.ipc.pickles import dump
def own(x): return x + 1
sys.stdout.buffer.write(dump([(own, bytes(range(256))), (own, b"")]).stream)
"""


def test_what_belongs_to_the_main_module_is_found_among_the_calls_of_a_map() -> None:
    done = subprocess.run([sys.executable, "-c", IN_CALLS], capture_output=True, check=True, timeout=30)
    assert [fn(4) for fn, _ in load(done.stdout)] == [5, 5]


LOOKS_LIKE_A_NAME = b"\x8c\x08__main__\x94\x8c\x03own\x94\x93 multiprocessing.connection"


@pytest.mark.parametrize(
    "value",
    [
        LOOKS_LIKE_A_NAME,
        [LOOKS_LIKE_A_NAME, 1],
        (LOOKS_LIKE_A_NAME, "a"),
        [("a", LOOKS_LIKE_A_NAME), ("b", b"")],
        {1: LOOKS_LIKE_A_NAME},
    ],
)
def test_bytes_are_no_names(value: Any) -> None:
    assert load(dump(value).stream) == value


# -- functions


@task(timeout=3)
def tasked(x: int) -> int:
    """A task of this module."""
    return x + 1


def plain(x: int) -> int:
    """A function of this module."""
    return x + 2


class Counter:
    """Has methods."""

    def step(self) -> int:
        """One."""
        return 1


@pytest.mark.parametrize("fn", [plain, len, Counter, tasked])
def test_a_function_found_by_its_name_is_pickled_once(fn: Any) -> None:
    functions = Functions(main_by_name=False)
    stream = functions.dump(fn)
    assert stream is not None and functions.dump(fn) is stream
    loaded = LoadedFunctions()
    assert loaded.load(stream) is getattr(fn, "fn", fn)
    assert loaded.load(stream) is loaded.load(stream)


@pytest.mark.parametrize(
    "fn",
    [lambda x: x, functools.partial(plain, 1), Counter().step, [].append, print.__call__],
    ids=["lambda", "partial", "bound", "bound to a list", "wrapper"],
)
def test_any_other_travels_with_its_call(fn: Any) -> None:
    assert Functions(main_by_name=True).dump(fn) is None


def test_a_function_of_main_travels_by_name_until_a_worker_does_not_find_it() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def own(): return 1", namespace)
    main = sys.modules["__main__"]
    own = namespace["own"]
    main.own = own  # type: ignore[attr-defined]
    try:
        functions = Functions(main_by_name=True)
        by_name = functions.dump(own)
        assert by_name is not None and LoadedFunctions().load(by_name) is own
        functions.carry_main_by_value()
        assert b"load_function" in (functions.dump(own) or b"")
    finally:
        del main.own  # type: ignore[attr-defined]


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Functions, "MOST", 2)
    functions, loaded = Functions(main_by_name=False), LoadedFunctions()
    for fn in (plain, len, print, sum, max):
        stream = functions.dump(fn)
        assert stream is not None and loaded.load(stream) is fn
    assert len(functions._known) <= 2 and len(loaded._known) <= 3


def test_it_reads_what_cloudpickle_writes() -> None:
    assert load(cloudpickle.dumps({"a": 1})) == {"a": 1}
