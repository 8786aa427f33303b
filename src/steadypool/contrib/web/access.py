"""Who may see the pages, and what they may do: `Access`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ACTIONS = frozenset({"retry", "cancel", "discard", "pause", "resume", "run", "set", "reset"})
"""Everything that can be done by a page: to jobs, to queues and schedules, and to limits."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one request may do. Made by `none`, `read` and `act`."""

    user: str
    """As events name the user."""
    sees: bool
    actions: frozenset[str]

    @staticmethod
    def none() -> Access:
        """Nothing at all."""
        return Access("", False, frozenset())

    @staticmethod
    def read(user: str) -> Access:
        """Look, and change nothing."""
        return Access(_checked(user), True, frozenset())

    @staticmethod
    def act(user: str, *, only: Iterable[str] = ACTIONS) -> Access:
        """Look, and do what is in *only*: by default all of `ACTIONS`.

        Raises:
            TypeError, ValueError: *user* is no text, or there is no such action.
        """
        if isinstance(only, str):
            raise TypeError(f"only must be a set of actions such as {{'retry'}}, not {only!r}")
        actions = frozenset(only)
        if unknown := actions - ACTIONS:
            raise ValueError(f"there is no action {sorted(unknown)[0]!r}; there are {', '.join(sorted(ACTIONS))}")
        return Access(_checked(user), True, actions)


def _checked(user: object) -> str:
    if not isinstance(user, str) or not user:
        raise TypeError(f"user must be a name such as 'ann', which events show, not {user!r}")
    return user
