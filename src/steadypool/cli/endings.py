"""How the program can end: its exit codes, and the errors that lead to them."""

from __future__ import annotations

import signal

import click

DONE = 0
SOME_FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
CLOSED_PIPE = 128 + 13
"""What a shell reports for a program that ``SIGPIPE`` (13 everywhere) ended: whoever read the results left."""


class UsageMistake(click.ClickException):
    """What was asked for cannot be done: one line that says why, and exit code 2."""

    exit_code = 2


class OutputClosed(Exception):
    """Whoever read the results has left (``| head``)."""


class OutputFailed(click.ClickException):
    """Results cannot be written any more, for example because the disk is full."""

    exit_code = SOME_FAILED
