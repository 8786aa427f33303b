"""The end of the program though a reader of it has left: its exit code stays what it is."""

from __future__ import annotations

import os
import sys


def let_go_of_closed_pipes() -> None:
    """Drop what a reader that has left did not take: the interpreter would try again at its exit, and end with 120."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None:  # it was closed when the program began
            continue
        try:
            stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
