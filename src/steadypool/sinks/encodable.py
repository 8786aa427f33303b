"""Text as exporters can write it.

Names that came from file names may hold lone surrogates (``os.fsdecode``). Those are no UTF-8: one such label, and
Prometheus gets no metrics at all.
"""

from __future__ import annotations


def encodable(text: str) -> str:
    """The text, with what is no UTF-8 written out as ``\\\\udc80``."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
