"""Types of options: counts, seconds, lengths of time and moments (``5m``, ``1h30m``; ``2026-01-31T12:00+01:00``)."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import click

SECONDS_OF = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|[smhdw]?)")


class Length(click.ParamType):  # type: ignore[type-arg]  # generic in later versions of click alone
    """Seconds; or a number with a unit, or several of them."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """See `click.ParamType.convert`."""
        if isinstance(value, (int, float)):
            return float(value)
        parts = _PART.findall(value.strip())
        whole = "".join(_PART.sub("", value).split())
        if not parts or whole or (len(parts) > 1 and any(not unit for _, unit in parts)):
            self.fail(
                f"{value!r} is no length of time: give seconds, such as 90, or 90s, 5m, 1h30m, 2d", param, context
            )
        return sum(float(number) * SECONDS_OF[unit] for number, unit in parts)


class Moment(click.ParamType):  # type: ignore[type-arg]  # likewise
    """A date and time with a zone."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> datetime:
        """See `click.ParamType.convert`."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no moment: give one such as {_example()}", param, context)
        if moment.tzinfo is None:
            meant = dict.fromkeys([moment.astimezone().isoformat(), moment.replace(tzinfo=UTC).isoformat()])
            self.fail(f"{value!r} has no time zone: give {' or '.join(meant)}", param, context)
        return moment


def _example() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


class SecondsRange(click.FloatRange):
    """A number of seconds. `click.FloatRange` takes what is no number (``nan``) for one of any range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, if it is one."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


COUNT, SECONDS = click.IntRange(min=1), SecondsRange(min=0, min_open=True)
LENGTH, MOMENT = Length(), Moment()
