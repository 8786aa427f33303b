"""The clock by which the package waits. Tests that set or freeze the time of a program leave it alone.

freezegun replaces ``time.monotonic`` in the module `time`, and in every module that has imported it; a limit, a retry
or a drain would then never be due, and a test that waits for it would hang. So these functions are of a copy of the
module that no other module has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType


def _own_copy(module: ModuleType) -> ModuleType:
    spec = module.__spec__
    if spec is None or spec.loader is None:
        return module
    # Not by `importlib.util`, which is heavier than all the rest that is imported here.
    copy = spec.loader.create_module(spec)
    if copy is None:
        return module
    spec.loader.exec_module(copy)
    return copy


_time = _own_copy(time)
monotonic: Callable[[], float] = _time.monotonic
"""As `time.monotonic`."""
sleep: Callable[[float], None] = _time.sleep
"""As `time.sleep`."""


def is_replaced() -> bool:
    """Whether the clock that others go by, an event loop say, is replaced now."""
    return type(time.monotonic) is not type(monotonic)
