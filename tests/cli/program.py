"""``steadypool`` as a process of its own, with real pipes and real signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from tests.cli.ended import Ended, json_lines
from tests.forks import Forked
from tests.patience import WAIT

COMMAND = (sys.executable, "-m", "steadypool.cli")
LIMIT = WAIT
"""Seconds that any one run may take before the test fails."""


class Program:
    """Runs the command line in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, stdin: int | IO[Any] = subprocess.PIPE, **more: Any) -> subprocess.Popen[str]:
        """Start a run, with pipes to all its streams unless *more* says otherwise."""
        own = more.pop("env", {})
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.folder, "stdin": stdin, **more}
        more["env"] = {**os.environ, "COLUMNS": "200", **own}
        if "preexec_fn" in more or any(name.startswith("PYTHON") for name in own):
            process = subprocess.Popen([*COMMAND, *arguments], text=True, **more)
        else:
            process = Forked(*COMMAND[2:], *arguments, **more)
        self._started.append(process)
        return process

    def run(self, *arguments: str, text: str = "", **more: Any) -> Ended:
        """Run to the end with *text* as standard input."""
        return finish(self.start(*arguments, **more), text)

    def map(self, *arguments: str, text: str = "", **more: Any) -> Ended:
        """Run ``steadypool map`` to the end."""
        return self.run("map", *arguments, text=text, **more)

    def errors_pipe(self) -> ErrorsPipe:
        """A named pipe ``errors.jsonl`` to give as ``--errors``, so that a test can wait for each row."""
        path = self.folder / "errors.jsonl"
        os.mkfifo(path)
        return ErrorsPipe(path)

    def kill_all(self) -> None:
        """End what a failed test has left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass


class ErrorsPipe:
    """The rows of an errors file, as they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[str] | None = None

    def open(self) -> None:
        """Wait until the program has opened its end, which waits for ours."""
        self._stream = self._path.open()

    def read(self, count: int) -> list[dict[str, Any]]:
        """Wait for the next *count* rows."""
        assert self._stream is not None
        return [json.loads(self._stream.readline()) for _ in range(count)]

    def read_rest(self) -> list[dict[str, Any]]:
        """The rows up to the end of the program."""
        assert self._stream is not None
        with self._stream:
            return json_lines(self._stream.read())


def finish(process: subprocess.Popen[str], text: str = "") -> Ended:
    """Give the program *text*, close its input, and collect what it still has to say.

    Not ``communicate``: that would lose what an earlier ``readline`` has left in a buffer.
    """
    limit = threading.Timer(LIMIT, process.kill)
    limit.start()
    try:
        with ThreadPoolExecutor(2) as helpers:
            fed = helpers.submit(_feed, process.stdin, text)
            err = helpers.submit(_read, process.stderr)
            out = _read(process.stdout)
            fed.result()
            return Ended(process.wait(), out, err.result())
    finally:
        limit.cancel()


def _feed(stream: IO[str] | None, text: str) -> None:
    if stream is not None:
        try:
            with stream:
                stream.write(text)
        except BrokenPipeError:
            pass  # it has ended already


def _read(stream: IO[str] | None) -> str:
    return "" if stream is None or stream.closed else stream.read()


def type_lines(process: subprocess.Popen[str], *lines: str) -> None:
    """Send *lines* to the program's standard input, which stays open."""
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()
