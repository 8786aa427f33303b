"""``manage.py steadypool``: the command line of Steadypool, with the queue of the settings."""

from __future__ import annotations

import argparse
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from steadypool.cli.app import COMMANDS, run_command
from steadypool.contrib.django import registry
from steadypool.contrib.django.backend import SteadypoolBackend
from steadypool.contrib.django.framework import DEFAULT_TASK_BACKEND_ALIAS, InvalidTaskBackend, task_backends
from steadypool.contrib.django.reload import WORDS, run_with_reload
from steadypool.durable.engine.url import URL_VARIABLE

WITHOUT_QUEUE = frozenset({"map", "enqueue", "top", "import-celery-beat"})
"""Commands that are about something else than a queue, or about a `DurableTask` of a module."""
OF_A_QUEUE = {"work"}
"""Commands whose first argument is MODULE:QUEUE."""


class Command(BaseCommand):
    """The commands of ``steadypool`` for the queue of a backend in ``TASKS``."""

    help = "Runs the jobs of TASKS, and looks at them: work, jobs, schedules, migrate, and the other commands."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as Django has it
    suppressed_base_arguments = {"--version", "--traceback", "--no-color", "--force-color", "-v", "--verbosity"}  # noqa: RUF012

    def add_arguments(self, parser: CommandParser) -> None:
        """All that follows the command is its own; ``work --reload`` is ours."""
        parser.add_argument("--backend", default=DEFAULT_TASK_BACKEND_ALIAS, help="The alias in TASKS.")
        parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="command ...", help=", ".join(names()))

    def handle(self, *_: Any, backend: str, arguments: list[str], **options: Any) -> None:
        """Run it, and end with its exit code."""
        if not arguments:
            raise CommandError(f"Which command? There are {', '.join(names())}.")
        command, *rest = arguments
        if command in COMMANDS and command not in names():
            raise CommandError(f"steadypool {command} needs no settings: run it without manage.py.")
        found = backend_of(backend)
        os.environ[URL_VARIABLE] = found.queue.url  # for the commands that take an address
        if command in OF_A_QUEUE and WORDS & set(rest):
            registry.discover(tuple(found.steadypool_options.modules))  # what is watched is what is imported
            raise SystemExit(run_with_reload())
        if command in OF_A_QUEUE:
            if not options.get("skip_checks"):
                self.check()
            rest = [f"steadypool.contrib.django.queues:{backend}", *with_queues(found, rest)]
        connections.close_all()
        raise SystemExit(run_command([command, *rest], "manage.py steadypool"))


def names() -> list[str]:
    """The commands that there are here."""
    return [name for name in COMMANDS if name not in WITHOUT_QUEUE]


def backend_of(alias: str) -> SteadypoolBackend:
    """The backend of that alias.

    Raises:
        CommandError: there is none, or it is another's.
    """
    try:
        found = task_backends[alias]
    except InvalidTaskBackend as error:
        raise CommandError(f"{error} TASKS has {', '.join(map(repr, task_backends.settings))}.") from error
    if not isinstance(found, SteadypoolBackend):
        raise CommandError(
            f"The backend of TASKS[{alias!r}] is {type(found).__module__}.{type(found).__qualname__}: make it "
            "steadypool.contrib.django.SteadypoolBackend, or name another with --backend."
        )
    return found


def with_queues(backend: SteadypoolBackend, arguments: list[str]) -> list[str]:
    """The arguments of ``work``; by default it works on all ``QUEUES`` of the settings."""
    given = any(argument == "--queue" or argument.startswith("--queue=") for argument in arguments)
    return arguments if given else [*(f"--queue={name}" for name in sorted(backend.queues)), *arguments]
