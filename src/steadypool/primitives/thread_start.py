"""Whether a thread runs whose start was interrupted: Ctrl-C may come before it was started, or just after."""

from __future__ import annotations

import threading

from steadypool.model.clock import monotonic, sleep

BEGIN_SECONDS = 0.05
"""How long a thread may take to begin."""


def has_begun(thread: threading.Thread) -> bool:
    """Whether it has been started, giving it some time to say so."""
    until = monotonic() + BEGIN_SECONDS
    while thread.ident is None and monotonic() < until:
        sleep(0.001)
    return thread.ident is not None
