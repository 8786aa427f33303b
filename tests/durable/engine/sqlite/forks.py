"""Children of a test, forked as servers fork theirs."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


class Child:
    """A forked process that runs *act*; its end is looked at by `end`."""

    def __init__(self, act: Callable[[Child], object], leave: Callable[[int], object] = os._exit) -> None:
        self._to_child, self._from_child = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                act(self)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                leave(code)

    def say(self) -> None:
        """In the child: have `hear` return."""
        os.write(self._from_child[1], b"!")

    def wait(self) -> None:
        """In the child: until `go_on`."""
        os.read(self._to_child[0], 1)

    def hear(self) -> None:
        """Until the child says something."""
        os.read(self._from_child[0], 1)

    def go_on(self) -> None:
        """Have the child's `wait` return."""
        os.write(self._to_child[1], b"!")

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        for end in (*self._to_child, *self._from_child):
            os.close(end)
        return code
