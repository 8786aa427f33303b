"""Somebody who looks at this process's pools, over the real socket."""

from __future__ import annotations

import json
import os
from typing import Any

from steadypool.pools.monitor import socket_dir
from tests.pools.contract.stage import WAIT


class Looker:
    """One connection to a program that can be watched."""

    def __init__(self, pid: int | None = None) -> None:
        self.connection = socket_dir.connect(socket_dir.folders(os.geteuid())[0] / str(pid or os.getpid()))
        self.connection.settimeout(WAIT)
        self._text = self.connection.makefile()

    def send(self, **question: Any) -> None:
        self.connection.sendall(json.dumps(question).encode() + b"\n")

    def hear(self) -> tuple[str, Any] | None:
        """The next line that comes; ``None`` at the end."""
        line = self._text.readline()
        if not line:
            return None
        said = json.loads(line)
        return said["kind"], said["body"]

    def ask(self, **question: Any) -> tuple[str, Any]:
        self.send(**question)
        heard = self.hear()
        assert heard is not None
        return heard

    def look(self) -> dict[str, Any]:
        """The pools that there are now, by name."""
        kind, body = self.ask(do="look")
        assert kind == "snapshot", body
        return {pool["stats"]["name"]: pool for pool in body["pools"]}

    def close(self) -> None:
        self._text.close()
        self.connection.close()

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *left: object) -> None:
        self.close()
