"""Small charts: one bar for each minute of an hour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from steadypool.durable.engine.figures import MinuteRow

MINUTES = 60
HEIGHT = 32


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute."""

    x: int
    completed: float
    """How high, from the ground."""
    failed: float
    """How high, on top of that."""
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The last hour of one queue, or of all."""

    bars: tuple[Bar, ...]
    completed: int
    failed: int
    discarded: int
    most: int
    """In a minute."""

    def path(self, *, failed: bool) -> str:
        """All bars of one colour as one figure, for a chart that is too small to point at a bar."""
        parts = []
        for bar in self.bars:
            height = bar.failed if failed else bar.completed
            if height:
                ground = HEIGHT - (bar.completed if failed else 0.0)
                parts.append(f"M{bar.x} {ground:g}v-{height:g}h.9v{height:g}z")
        return "".join(parts)

    @property
    def label(self) -> str:
        """For those who do not see it."""
        return (
            f"The last hour: {self.completed:,} completed, {self.failed:,} failed attempts, "
            f"{self.discarded:,} discarded; at most {self.most:,} in a minute."
        )


def chart_of(rows: Iterable[MinuteRow], now: float) -> Chart:
    """The rows of the hour before *now*, added up."""
    last = int(now // 60)
    counts = [[0, 0, 0] for _ in range(MINUTES)]
    for row in rows:
        place = MINUTES - 1 - (last - int(row.minute // 60))
        if 0 <= place < MINUTES:
            for index, value in enumerate(row[2:]):
                counts[place][index] += value
    most = max(completed + failed for completed, failed, _ in counts)
    scale = HEIGHT / most if most else 0.0
    bars = tuple(
        Bar(
            place,
            _height(completed, scale),
            _height(failed, scale),
            f"{MINUTES - 1 - place} min ago: {completed:,} completed, {failed:,} failed",
        )
        for place, (completed, failed, _) in enumerate(counts)
        if completed or failed
    )
    completed, failed, discarded = (sum(column) for column in zip(*counts, strict=True))
    return Chart(bars, completed, failed, discarded, most)


def _height(value: int, scale: float) -> float:
    """What is there is seen."""
    return max(1.0, round(value * scale, 1)) if value else 0.0
