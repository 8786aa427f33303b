"""What has failed of late, in groups: of one task, one exception, one place in the code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from steadypool.contrib.web.look import Look, Page
from steadypool.durable.engine.figures import Failure
from steadypool.durable.engine.protocol import Engine

LOOKED_AT = 1000
MOST_SAMPLES = 3
_FRAME = re.compile(r'File "([^"\n]{1,500})", line (\d+), in ([^\n]{1,200})')


@dataclass(slots=True)
class Group:
    """Failures that are alike."""

    task: str
    type_name: str
    place: str
    outcome: str
    message: str
    """Of the latest."""
    first: float
    last: float
    count: int = 0
    samples: list[str] = field(default_factory=list)
    """Ids of the latest jobs."""


def page(look: Look) -> Page:
    """The page."""
    groups, looked_at = look.reader.read("errors", _read)
    values = {"groups": groups, "looked_at": looked_at, "most": LOOKED_AT, "now": look.now()}
    return Page("errors", "Errors", values)


def _read(engine: Engine) -> tuple[list[Group], int]:
    failures = engine.figures.failures(LOOKED_AT)
    return grouped(failures), len(failures)


def grouped(failures: Sequence[Failure]) -> list[Group]:
    """The failures, the latest of which comes first; the most frequent group comes first."""
    groups: dict[tuple[str, str, str, str], Group] = {}
    for failure in failures:
        error = failure.error
        place = place_in(error.traceback)
        key = (failure.task, error.type_name, place, error.outcome)
        group = groups.get(key)
        if group is None:
            message = error.message.partition("\n")[0]
            group = groups[key] = Group(
                failure.task, error.type_name, place, error.outcome, message, error.at, error.at
            )
        group.count += 1
        group.first = error.at
        if failure.id not in group.samples and len(group.samples) < MOST_SAMPLES:
            group.samples.append(failure.id)
    return sorted(groups.values(), key=lambda group: (-group.count, -group.last))


def place_in(traceback: str) -> str:
    """Where it was raised: ``app/mail.py:12 in send``, by the last frame of the traceback."""
    frames = _FRAME.findall(traceback)
    if not frames:
        return ""
    path, number, function = frames[-1]
    return f"{'/'.join(path.replace(chr(92), '/').split('/')[-2:])}:{number} in {function}"
