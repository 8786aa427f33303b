"""How far a job is, in words."""

from __future__ import annotations


def progress_text(progress: tuple[float, float | None] | None) -> str:
    """``3 of 100 (3 %)``, ``3``, or nothing."""
    if progress is None:
        return ""
    done, total = progress
    if total is None:
        return f"{done:,.10g}"
    share = f" ({100 * done / total:.0f} %)" if total > 0 else ""
    return f"{done:,.10g} of {total:,.10g}{share}"
