"""What to say of a name that is not known, beside those that are."""

from __future__ import annotations

from collections.abc import Iterable

MOST_NAMES = 5
"""Names that are said; beyond it, how many more there are."""


def listed(names: Iterable[str]) -> str:
    """Names in one line, a few of many."""
    names = sorted(names)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def near_name(name: str, known: Iterable[str]) -> str | None:
    """The one among *known* that is most likely meant: it ends alike (``shop.tasks.send`` for ``tasks.send``), or is
    spelt much the same."""
    import difflib  # for a mistake alone

    known = sorted(known)
    last = name.rpartition(".")[2]
    alike = [other for other in known if other.rpartition(".")[2] == last]
    return next(
        iter([*difflib.get_close_matches(name, alike, 1, 0.0), *difflib.get_close_matches(name, known, 1)]), None
    )
