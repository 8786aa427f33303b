"""What a forked child has to forget of `multiprocessing`, which is not made for being forked into.

The parent's forkserver is not the child's: a new pool in the child starts one of its own. The descriptor that keeps
the parent's alive must not stay open in the child, or that server would outlive the parent.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from multiprocessing import forkserver, process
from types import ModuleType
from typing import Any


def forget_imports() -> None:
    """In a forked worker: no thread goes on with the imports that were under way, so none must be waited for."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):
            spec = object.__getattribute__(module, "__dict__").get("__spec__")  # a lazy module stays as it is
            if getattr(spec, "_initializing", False) is True:
                spec._initializing = False


def forget_process(child: object) -> None:
    """A worker of the parent's: `multiprocessing` would wait for it when this process ends."""
    children: set[object] = getattr(process, "_children", set())
    children.discard(child)


def _forget_forkserver() -> None:
    server: Any = forkserver._forkserver
    with suppress(AttributeError):
        if server._forkserver_pid is None:
            return
        with suppress(OSError):
            os.close(server._forkserver_alive_fd)
        server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
        server._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_forkserver)
