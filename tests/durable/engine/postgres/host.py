"""Another host: a network namespace with a cable to this one. Needs root, and Linux."""

from __future__ import annotations

import os
import subprocess
from types import TracebackType


class Host:
    """A ``with`` block in which there is another host, whose programs reach this one at ``address``.

    Raises:
        OSError: there can be none here.
    """

    def __init__(self) -> None:
        self._name = f"sp{os.getpid()}"
        net = f"10.{os.getpid() // 250 % 250}.{os.getpid() % 250}"
        self.address = f"{net}.1"
        self._its_address = f"{net}.2"
        self.net = f"{net}.0/24"
        self.within = ("ip", "netns", "exec", self._name)
        """What a command is run by that is to run there."""

    def __enter__(self) -> Host:
        here, there = f"{self._name}a", f"{self._name}b"
        try:
            _run("ip", "netns", "add", self._name)
            _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", self._name)
            _run("ip", "address", "add", f"{self.address}/24", "dev", here)
            _run("ip", "link", "set", here, "up")
            _run(*self.within, "ip", "address", "add", f"{self._its_address}/24", "dev", there)
            _run(*self.within, "ip", "link", "set", there, "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        for command in (("ip", "link", "del", f"{self._name}a"), ("ip", "netns", "del", self._name)):
            try:
                _run(*command)
            except OSError:
                continue  # it was not made

    def cut(self) -> None:
        """Pull the cable: from now on nothing arrives, and nobody is told."""
        _run("ip", "link", "set", f"{self._name}a", "down")

    def mend(self) -> None:
        """Put it back."""
        _run("ip", "link", "set", f"{self._name}a", "up")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
