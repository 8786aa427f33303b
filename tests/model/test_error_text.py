"""Exceptions as text: names, messages, places and tracebacks, whatever the exception's own code does."""

from __future__ import annotations

from typing import NoReturn

import pytest

from steadypool import JobTimeout, RemoteError
from steadypool.durable.engine.errors import ArgumentsUnfit
from steadypool.model.error_text import (
    MAX_TEXT,
    described,
    first_line,
    in_a_line,
    message,
    place,
    plain_traceback,
    shortened,
    traceback_text,
    type_name,
    where_raised,
)
from steadypool.model.errors import InternalError


class Own(Exception):
    """An exception of this module."""


def raised(error: BaseException) -> BaseException:
    """The error, having been raised here."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert where_raised(ValueError()) == ""


def test_the_innermost_line_counts() -> None:
    def inner() -> None:
        raise OSError("x")

    def outer() -> None:
        inner()

    with pytest.raises(OSError) as caught:
        outer()
    assert where_raised(caught.value).endswith(" in inner")


def test_the_place_of_an_error_from_another_process_comes_with_its_cause() -> None:
    error, cause = ValueError("here"), Own("there")
    cause.steadypool_where = "work/job.py:3 in run"  # type: ignore[attr-defined]
    error.__cause__ = cause
    assert where_raised(error) == "work/job.py:3 in run"
    assert where_raised(raised(error)).endswith(" in raised")  # raised here after all


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError(), OSError()
    one.__cause__, other.__cause__ = other, one
    assert where_raised(one) == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), "ValueError"),
        (Own(), f"{__name__}.Own"),
        (RemoteError(type_name="m.Odd"), "m.Odd"),
        (RemoteError(), "steadypool.RemoteError"),
        (InternalError(), "steadypool.InternalError"),
        (ArgumentsUnfit("no"), "steadypool.ArgumentsUnfit"),
    ],
)
def test_what_a_type_is_called(error: Exception, expected: str) -> None:
    assert type_name(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError(), ""),
        (ValueError("x" * 1000), "x" * 300),
        (KeyError("k"), "'k'"),
        (JobTimeout("too long", stack="  File ..."), "too long"),
    ],
)
def test_the_first_line_of_a_message(error: Exception, expected: str) -> None:
    assert first_line(error) == expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [("/a/b/c/d.py", "c/d.py:7 in f"), ("d.py", "d.py:7 in f"), ("<string>", "<string>:7 in f")],
)
def test_how_a_place_is_written(filename: str, expected: str) -> None:
    assert place(filename, 7, "f") == expected


def test_a_long_traceback_keeps_both_ends() -> None:
    text = shortened(traceback_text(raised(ValueError("begin " + "x" * 3 * MAX_TEXT + " end"))))
    assert text.startswith("Traceback") and text.rstrip().endswith(" end") and "\n...\n" in text


class Rude(Exception):
    """Each of its methods raises what it was made with."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __str__(self) -> NoReturn:
        raise self.error("from __str__")

    __repr__ = __str__


@pytest.mark.parametrize("broken", [ValueError, SystemExit, KeyboardInterrupt, RecursionError])
def test_an_exception_whose_methods_raise_still_has_texts(broken: type[BaseException]) -> None:
    error = raised(Rude(broken))
    assert message(error) == first_line(error) == f"<str() of the exception raised {broken.__name__}>"
    assert in_a_line(error) == f"{__name__}.Rude: {message(error)}"
    assert "Rude" in traceback_text(error) and "Rude" in plain_traceback(error)
    assert "Rude" in described(error)[0]


def test_a_class_that_hides_its_name_has_one() -> None:
    class Meta(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            raise ValueError

    class Hidden(Exception, metaclass=Meta):
        """Its module cannot be asked for."""

    class Odd(Exception):
        """Its module is no text."""

    Odd.__module__ = 7  # type: ignore[assignment]
    assert type_name(Hidden()) == "Hidden"
    assert type_name(Odd()) == "Odd"
