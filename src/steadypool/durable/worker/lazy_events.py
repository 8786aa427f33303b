"""The events of durable workers, for those who tell them: imported when the first one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import Lazily

if TYPE_CHECKING:
    from steadypool.durable.worker import events
else:
    events = Lazily("steadypool.durable.worker.events")

__all__ = ["events"]
