"""How the program can end: its exit codes, and the errors that lead to them."""

from __future__ import annotations

import signal

import click

from steadypool.model.printable import printable_lines

DONE = 0
SOME_FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + 13
"""What a shell reports for a program that ``SIGPIPE`` (13 everywhere) ended: the reader of the results left."""


class Mistake(click.ClickException):
    """What is said names what others have named, and what they said."""

    def format_message(self) -> str:
        """As a terminal may be given it."""
        return printable_lines(self.message)


class UsageError(Mistake):
    """What was asked for cannot be done: one line that says why, and exit code 2."""

    exit_code = 2


class NotStarted(Mistake):
    """What the jobs need could not be made: one line that says why, and exit code 3."""

    exit_code = 3


class OutputClosed(Exception):
    """The reader of the results has left (``| head``)."""


class OutputFailed(Mistake):
    """Results cannot be written any more, for example because the disk is full."""

    exit_code = SOME_FAILED
