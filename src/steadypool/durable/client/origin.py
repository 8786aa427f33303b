"""Where a task was made: by this, a second run of a module differs from two tasks of one name.

A module's body runs once. It runs again when it is reloaded, when a notebook's cell is run again, or when the program's
main module is imported under its own name, too. What makes a task in such a second run replaces what the first run
made. Two tasks of one name that one run has made are two tasks; so are those of two files.

A run is known by the innermost frame of a module's body: each run has a code object of its own, since the source or the
cached bytecode is read anew, or it has a namespace of its own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

BODY = "<module>"
"""What Python calls the code of a module, of a cell, and of what is typed at the prompt."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One run of a module's body, and the line of it that made the task."""

    code: CodeType
    namespace: dict[str, Any]
    file: str | None
    """The module's file; ``None`` for what was typed."""
    line: int

    def is_later_run_of(self, earlier: Origin) -> bool:
        """Whether this is the same module, run again."""
        if self.code is earlier.code and self.namespace is earlier.namespace:
            return False
        if self.file is not None:
            return self.file == earlier.file
        # Typed: the same namespace. Two statements of one cell may be two pieces of code, but are on two lines.
        same_cell = self.code.co_filename == earlier.code.co_filename
        return self.namespace is earlier.namespace and not (same_cell and self.line != earlier.line)

    def __str__(self) -> str:
        return f"line {self.line} of {self.file or self.code.co_filename}"


def here() -> Origin | None:
    """The run that is going on; ``None`` on a thread that runs no module's body."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != BODY:
        frame = frame.f_back
    if frame is None:
        return None
    return Origin(frame.f_code, frame.f_globals, _file_of(frame), frame.f_lineno)


def module_here() -> str:
    """The module whose body runs, or else whose function does: outside of this package. For a program's main module,
    as another process imports it."""
    run = here()
    frame: FrameType | None = sys._getframe(1)
    while run is None and frame is not None and frame.f_globals.get("__name__", "").startswith("steadypool."):
        frame = frame.f_back
    space = run.namespace if run is not None else frame.f_globals if frame is not None else {}
    name, file = str(space.get("__name__") or "main"), space.get("__file__")
    if name != "__main__":
        return name
    spec = space.get("__spec__")
    if spec is not None and spec.name:
        return str(spec.name.removesuffix(".__main__"))
    return os.path.splitext(os.path.basename(file))[0] if isinstance(file, str) else "main"


def _file_of(frame: FrameType) -> str | None:
    file = frame.f_globals.get("__file__")
    # Text that a module has executed in its own namespace is no run of the module.
    if not isinstance(file, str) or os.path.basename(file) != os.path.basename(frame.f_code.co_filename):
        return None
    return os.path.realpath(file)
