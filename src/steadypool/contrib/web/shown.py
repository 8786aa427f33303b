"""Texts as pages show them: cut, and with nothing in them that would turn or hide what stands around."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from steadypool.durable.engine.records import JobRecord
from steadypool.model.printable import printable, printable_lines
from steadypool.model.quantities import length_text

LONGEST_LINE = 400
LONGEST_TEXT = 20_000
MOST = 10_000
"""Counts stop there."""
HIDDEN = "hidden"
Arguments = Literal["hidden", "shown"] | Callable[[JobRecord], str]


def line(text: object, longest: int = LONGEST_LINE) -> str:
    """In one line."""
    given = str(text)
    cut = given[: longest - 1] + "…" if len(given) > longest else given
    return printable(cut)


def lines(text: object) -> str:
    """With its own lines; of a text that is too long, the end, which says most in a traceback."""
    given = str(text)
    if len(given) > LONGEST_TEXT:
        given = f"… ({len(given) - LONGEST_TEXT:,} characters are left out)\n{given[-LONGEST_TEXT:]}"
    return printable_lines(given)


def beginning(text: str) -> str:
    """With its own lines, and without its end."""
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}\n… ({len(text) - LONGEST_TEXT:,} characters are left out)"
    return printable_lines(text)


def number(value: int) -> str:
    """A count: ``1,234``, or ``10,000+``."""
    return f"{MOST:,}+" if value > MOST else f"{value:,}"


def number_found(count: tuple[int, bool]) -> str:
    """A count that may not be all: ``37``, ``37+``, ``10,000+``."""
    found, is_all = count
    return number(found) if is_all or found > MOST else f"{found:,}+"


def long(seconds: float) -> str:
    """``8 s``, in one piece."""
    return length_text(seconds).replace(" ", "\N{NO-BREAK SPACE}")


def age(at: float | None, now: float) -> str:
    """``3 min ago``, ``in 5 s``."""
    if at is None:
        return ""
    return f"{long(now - at)} ago" if at <= now else f"in {long(at - now)}"


def precisely(seconds: float) -> str:
    """How long something ran: ``12 ms``, ``3.25 s``, ``5 min``."""
    if seconds < 0.0005:
        return "< 1 ms"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.3g} s" if seconds < 120 else length_text(seconds)


def moment(at: float | None) -> str:
    """In UTC, for machines and for those who point at it."""
    if at is None:
        return ""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f}"


def as_json(raw: bytes | None) -> str:
    """What was kept as JSON, with a line for each part."""
    if raw is None:
        return ""
    try:
        return beginning(json.dumps(json.loads(raw), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return beginning(raw.decode(errors="backslashreplace"))


def arguments_of(record: JobRecord, arguments: Arguments) -> str:
    """The job's arguments, as they may be shown."""
    if arguments == "hidden":
        return HIDDEN
    if record.payload is None:
        return "not kept: the job has completed"
    if arguments == "shown":
        return as_json(record.payload)
    assert callable(arguments)
    try:
        text: Any = arguments(record)
    except Exception:
        return HIDDEN
    return beginning(text) if isinstance(text, str) else HIDDEN
