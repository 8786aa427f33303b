"""The lines of JSON that a run writes: results and errors."""

from __future__ import annotations

import json
from types import TracebackType

from steadypool import Outcome
from steadypool.cli.map.lines import Line
from steadypool.model.error_text import message, traceback_from, type_name


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
        "type": type_name(error),
        "error": message(error),
        "attempts": attempts,
        "traceback": traceback_from(error, _from_users_code_on(error.__traceback__)),
    }
    return _dumps(row)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _from_users_code_on(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("steadypool."):
        frames = frames.tb_next
    return frames
