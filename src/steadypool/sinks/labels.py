"""Names that become labels of metrics, a bounded number of them."""

from __future__ import annotations

from steadypool.model.printable import printable

OTHER = "other"
"""Stands for every name beyond the bound."""


class BoundedNames:
    """The first *most* different names, and `OTHER` for the rest: each label costs memory wherever metrics are kept.

    Control characters and lone surrogates are written out: for one that is no UTF-8, Prometheus gets no metrics at all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The name as a label. From any thread; two that come at once may exceed the bound by one."""
        known = self._known.get(name)
        if known is not None:
            return known
        if len(self._known) >= self._most:
            return OTHER
        return self._known.setdefault(name, printable(name))
