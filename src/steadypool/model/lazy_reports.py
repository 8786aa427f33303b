"""The reports, for who makes them: imported when the first one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import Lazily

if TYPE_CHECKING:
    from steadypool.model import reports
else:
    reports = Lazily("steadypool.model.reports")

__all__ = ["reports"]
