"""Which jobs a page is about, as its address says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.request import Fields
from steadypool.durable.engine.records import JobFilter
from steadypool.durable.engine.states import JobState, state_named

AGES = (
    ("", "any time"),
    ("put:300", "put in the last 5 minutes"),
    ("put:3600", "put in the last hour"),
    ("put:86400", "put in the last day"),
    ("older:3600", "put more than an hour ago"),
    ("older:86400", "put more than a day ago"),
    ("ended:3600", "ended in the last hour"),
    ("ended:86400", "ended in the last day"),
)
_AGES = {"put": "younger_than", "older": "older_than", "ended": "ended_within"}
ALL = frozenset(JobState)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The filter, and how it is written."""

    state: str
    task: str
    queue: str
    tag: str
    error: str
    age: str
    argument: str

    @staticmethod
    def of(fields: Fields, arguments: bool) -> Chosen:
        """What the fields say; of arguments only where they are shown.

        Raises:
            Refusal: jobs are asked for by arguments that are hidden.
        """
        values = [fields.get(name).strip() for name in ("state", "task", "queue", "tag", "error", "age", "argument")]
        if values[-1] and not arguments:
            raise Refusal("403 Forbidden", "arguments are hidden here: jobs cannot be found by them")
        return Chosen(*values)

    @property
    def is_plain(self) -> bool:
        """Whether it is about all jobs, of a state or of any."""
        return not any((self.task, self.queue, self.tag, self.error, self.age, self.argument))

    def pairs(self, **changed: Any) -> list[tuple[str, Any]]:
        """As an address has it, some of it changed."""
        own = {name: getattr(self, name) for name in ("state", "task", "queue", "tag", "error", "age", "argument")}
        return list({**own, **changed}.items())

    def filter(self, *, below: int | None = None, limit: int = 100) -> JobFilter:
        """As the engine has it.

        Raises:
            Refusal: it is none.
        """
        kind, _, seconds = self.age.partition(":")
        try:
            ages: dict[str, Any] = {_AGES[kind]: float(seconds)} if self.age else {}
            return JobFilter(
                frozenset({state_named(self.state)}) if self.state else ALL,
                queue=self.queue or None,
                task=self.task or None,
                tags=tuple(self.tag.split()),
                error_type=self.error or None,
                argument=self.argument or None,
                below=below,
                limit=limit,
                **ages,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise Refusal("400 Bad Request", f"that is no filter: {error}") from None


def number_in(text: str) -> int | None:
    """A job's number in an address; ``None``: there is none.

    Raises:
        Refusal: it is no number.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refusal("400 Bad Request", "that is no place in the list")
    return int(text)
