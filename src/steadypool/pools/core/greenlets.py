"""gevent and eventlet replace threads, locks, sockets and waiting by their own: pools of workers cannot keep their
promises then, and refuse to be made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

THREADS = ("thread", "threading")
PROCESSES = (*THREADS, "socket", "select", "os", "signal", "subprocess", "time")


def check_unpatched(pool: str, modules: Iterable[str], instead: str) -> None:
    """Refuse if one of *modules*, which a *pool* needs as Python has them, was replaced. Imports nothing.

    Raises:
        RuntimeError: naming the library, and what to do *instead*.
    """
    for library, is_patched in _patchers():
        patched = [module for module in modules if is_patched(module)]
        if patched:
            raise RuntimeError(
                f"{library} has replaced the module {patched[0]!r} of this program, so that a {pool} cannot watch over "
                f"its jobs here: none could be stopped, and a crash would go unnoticed. {instead} "
                "(with gunicorn, choose the worker class gthread instead of gevent or eventlet)"
            )


def _patchers() -> Iterable[tuple[str, Callable[[str], bool]]]:
    for library, module, name in (
        ("gevent", "gevent.monkey", "is_module_patched"),
        ("eventlet", "eventlet.patcher", "is_monkey_patched"),
    ):
        is_patched = getattr(sys.modules.get(module), name, None)
        if is_patched is not None:
            yield library, is_patched
