"""The lines of JSON that a run writes: results and errors."""

from __future__ import annotations

import json
import traceback
from types import TracebackType

from steadypool import Outcome, RemoteError
from steadypool.cli.map.lines import Line


def result_row(line: Line, result: str, with_input: bool) -> str:
    """The result as it is, or beside the line it came from."""
    if not with_input:
        return result
    return f'{{"line": {line.number}, "input": {_dumps(line.text)}, "result": {result}}}'


def error_row(line: Line, outcome: Outcome, error: BaseException, attempts: int) -> str:
    """Everything about a line that gave no result."""
    row = {
        "line": line.number,
        "input": line.text,
        "outcome": outcome.value,
        "type": error.type_name if isinstance(error, RemoteError) else _type_name(error),
        "error": str(error),
        "attempts": attempts,
        "traceback": _traceback(error),
    }
    return _dumps(row)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__ == "steadypool.model.errors":
        return f"steadypool.{kind.__qualname__}"  # where everybody imports it from
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _traceback(error: BaseException) -> str:
    frames = _from_users_code_on(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, frames))


def _from_users_code_on(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("steadypool."):
        frames = frames.tb_next
    return frames
