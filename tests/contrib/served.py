"""A web server in a process of its own, for tests that have it end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx

WAIT = 40.0


class Server:
    """A server that runs, and what it says."""

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, "ROUNDS": "10", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._address = ""
        self._found = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"(?:running on|Listening at:) (http://\S+)", line):
                self._address = found[1]
                self._found.set()
        self._found.set()

    def client(self) -> httpx.Client:
        assert self._found.wait(WAIT)
        return httpx.Client(base_url=self._address, timeout=WAIT)

    def end(self) -> str:
        """Wait for its end; returns what it said."""
        self.process.wait(WAIT)
        self._reader.join()
        return "".join(self.lines)
