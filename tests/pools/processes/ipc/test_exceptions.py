"""Exceptions between processes: what can travel arrives as it was, and anything else as a faithful stand-in."""

from __future__ import annotations

import subprocess
import traceback
from typing import Any

import pytest

from steadypool import JobExit, JobTimeout, RemoteError
from steadypool.model.error_text import where_raised
from steadypool.pools.processes.ipc.exceptions import MAX_TEXT, MOST_CAUSES, RemoteTraceback, pack_error, unpack_error
from tests.pools.processes.ipc.test_pickles import iter_that_runs
from tests.primitives.test_misbehaving import MISBEHAVING


class Plain(Exception):
    """With attributes."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class TwoArguments(Exception):
    """Its ``__init__`` cannot be called with its ``args``."""

    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}:{line}")
        self.path = path
        self.line = line


class KeywordOnly(Exception):
    """Neither can this one's."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"because {reason}")
        self.reason = reason


class LoadRaises(Exception):
    """Pickles, and cannot be loaded; made without ``__init__`` it can."""

    def __reduce__(self) -> Any:
        return (_refuse, ())


def _refuse() -> None:
    raise ValueError("cannot be loaded")


class NothingWorks(Exception):
    """Can be made in no way."""

    def __new__(cls, *args: Any) -> Any:
        if args != ("once",):
            raise ValueError("only once")
        return super().__new__(cls, *args)

    def __init__(self, _: str) -> None:
        super().__init__("message")


def raised(error: BaseException) -> BaseException:
    """The error, having been raised here."""
    try:
        raise error
    except BaseException as caught:
        return caught


def carried(error: BaseException) -> Any:
    """The error at the other end."""
    return unpack_error(pack_error(error))


def test_type_arguments_and_attributes_arrive() -> None:
    error = Plain("message", 7)
    error.extra = ["more"]  # type: ignore[attr-defined]
    again = carried(raised(error))
    assert type(again) is Plain and again.args == ("message",)
    assert (again.code, again.extra) == (7, ["more"])


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("k"),
        FileNotFoundError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        subprocess.CalledProcessError(3, ["cmd"], b"out", b"err"),
        StopIteration(5),
        JobTimeout("late", seconds=2.0, stack="here"),
        JobExit("exit", code=3),
        ExceptionGroup("many", [ValueError("a"), OSError("b")]),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_often_raised_arrives(error: BaseException) -> None:
    again = carried(raised(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert repr(again.args) == repr(error.args)


def test_one_whose_init_cannot_be_called_again_arrives_all_the_same() -> None:
    first, second = carried(raised(TwoArguments("a.py", 3))), carried(raised(KeywordOnly(reason="rain")))
    assert type(first) is TwoArguments and (str(first), first.path, first.line) == ("a.py:3", "a.py", 3)
    assert type(second) is KeywordOnly and (str(second), second.reason) == ("because rain", "rain")
    assert type(carried(raised(LoadRaises("x")))) is LoadRaises


def test_an_attribute_that_cannot_travel_is_left_out() -> None:
    error = TwoArguments("a.py", 3)
    error.stream = (x for x in [1])  # type: ignore[attr-defined]
    again = carried(raised(error))
    assert type(again) is TwoArguments and again.line == 3 and not hasattr(again, "stream")


def test_a_local_class_travels_by_value() -> None:
    class Local(Exception):
        """Found under no name."""

    again = carried(raised(Local("message")))
    assert type(again).__qualname__ == Local.__qualname__ and again.args == ("message",)


def test_one_that_cannot_be_made_again_is_stood_in_for() -> None:
    error = raised(NothingWorks("once"))
    error.add_note("a note")
    again = carried(error)
    assert type(again) is RemoteError
    assert again.type_name == f"{__name__}.NothingWorks" and again.text == "message"
    assert "NothingWorks" in str(again) and again.__notes__ == ["a note"]
    assert "in raised" in again.traceback


def test_notes_arrive() -> None:
    for error in (Plain("x"), TwoArguments("a", 1)):
        error.add_note("first")
        error.add_note("second")
        assert carried(raised(error)).__notes__ == ["first", "second"]


# -- causes


def chain_of(error: BaseException | None) -> list[str]:
    """The texts of an error and its causes, the remote traceback left out."""
    texts = []
    while error is not None and not isinstance(error, RemoteTraceback):
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return texts


def test_causes_arrive_and_the_remote_traceback_below_them() -> None:
    error = Plain("outer")
    error.__cause__ = raised(ValueError("middle"))
    error.__cause__.__context__ = raised(OSError("inner"))
    again = carried(raised(error))
    assert chain_of(again) == ["outer", "middle", "inner"]
    assert isinstance(again.__cause__, ValueError) and isinstance(again.__cause__.__context__, OSError)
    assert isinstance(again.__cause__.__context__.__cause__, RemoteTraceback)
    shown = "".join(traceback.format_exception(again))
    assert "in raised" in shown and "outer" in shown and "inner" in shown


def test_a_context_that_was_suppressed_stays_so() -> None:
    try:
        try:
            raise OSError("hidden")
        except OSError:
            raise Plain("shown") from None
    except Plain as error:
        again = carried(error)
    assert again.__suppress_context__
    assert chain_of(again) == ["shown"]


@pytest.mark.parametrize("length", [MOST_CAUSES - 1, MOST_CAUSES + 30])
def test_a_chain_is_bounded(length: int) -> None:
    error: BaseException = Plain("0")
    for number in range(1, length):
        outer = Plain(str(number))
        outer.__cause__ = error
        error = outer
    assert len(chain_of(carried(error))) == min(length, MOST_CAUSES)


def test_a_circle_of_causes_ends() -> None:
    one, other = Plain("one"), Plain("other")
    one.__cause__, other.__cause__ = other, one
    assert chain_of(carried(one)) == ["one", "other"]


# -- tracebacks


def test_the_place_is_where_it_was_raised_there() -> None:
    error = raised(Plain("x"))
    assert where_raised(carried(error)) == where_raised(error)
    assert where_raised(raised(carried(error))).endswith(" in raised")


def test_the_remote_traceback_is_shown() -> None:
    shown = "".join(traceback.format_exception(carried(raised(Plain("message")))))
    assert '"""\nTraceback (most recent call last):' in shown and "in raised" in shown


def test_a_traceback_is_bounded() -> None:
    packed = pack_error(raised(Plain("begin " + "x" * 5 * MAX_TEXT)))
    cause = unpack_error(packed).__cause__
    assert isinstance(cause, RemoteTraceback) and len(cause.text) < MAX_TEXT + 100


# -- those that misbehave


@pytest.mark.parametrize("kind", MISBEHAVING, ids=lambda kind: kind.__name__)
def test_one_that_misbehaves_arrives_somehow(kind: type[BaseException]) -> None:
    again = carried(raised(kind("x")))
    assert isinstance(again, kind | RemoteError)


class NotesRaise(Exception):
    """Its notes are nothing that can be listed."""

    __notes__ = 5  # type: ignore[assignment]


class ArgsAreOdd(Exception):
    """What it was raised with cannot travel."""

    def __init__(self) -> None:
        super().__init__(iter_that_runs())


@pytest.mark.parametrize("kind", [NotesRaise, ArgsAreOdd])
def test_odd_ones_arrive_somehow(kind: type[Exception]) -> None:
    again = carried(raised(kind()))
    assert isinstance(again, kind | RemoteError)
    assert kind.__name__ in (again.type_name if isinstance(again, RemoteError) else type(again).__name__)
