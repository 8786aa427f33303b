"""Short runs of the command line by one interpreter, each in a child that is forked from it: it is started once."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

from tests.cli.ended import Ended

ROOT = Path(__file__).parents[2]
USED = (
    "cli.queue.jobs",
    "cli.queue.enqueue",
    "cli.queue.schedules",
    "cli.queue.migrate",
    "durable.engine.sqlite.engine",
)
"""Modules that most runs need, imported before the forks."""


class Forks:
    """The interpreter, as a test has it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forks"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *arguments: str, text: str = "") -> Ended:
        """Run ``steadypool`` in a folder to its end, with *text* as standard input."""
        assert self._process.stdin is not None and self._process.stdout is not None
        wanted = [str(folder), arguments, text, {**os.environ, "COLUMNS": "200"}]
        print(json.dumps(wanted), file=self._process.stdin, flush=True)
        return Ended(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the interpreter."""
        self._process.communicate()


@cache
def shared_forks() -> Forks:
    """The one of this process, which ends with it."""
    forks = Forks()
    atexit.register(forks.close)
    return forks


def _run(folder: str, arguments: list[str], text: str, environment: dict[str, str]) -> tuple[int, str, str]:
    """In the interpreter: fork, and wait for the child. The child leaves by `SystemExit`, as the program does."""
    with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        given.write(text)
        given.seek(0)
        pid = os.fork()
        if pid == 0:
            for number, file in enumerate((given, out, err)):
                os.dup2(file.fileno(), number)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            sys.path[0] = folder
            main(arguments)
        _, status = os.waitpid(pid, 0)
        for file in (out, err):
            file.seek(0)
        return os.waitstatus_to_exitcode(status), out.read(), err.read()


if __name__ == "__main__":
    from steadypool.cli.app import main

    for name in USED:
        import_module(f"steadypool.{name}")
    while line := sys.stdin.readline():
        print(json.dumps(_run(*json.loads(line))), flush=True)
