"""The page on schedules: each row of its table of clock changes, and its table of arguments."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from steadypool import Cron
from steadypool.durable.client.schedule import Schedule
from tests.docs.pages import names_in, page

ROWS = page("schedules").table("clock-changes")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[2]}")
def test_each_row_of_the_clock_changes(row: list[str]) -> None:
    zone, expression, after, ticks, _ = row
    schedule = Cron(expression.strip("`"), tz=zone)
    moment = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).timestamp()
    found = []
    for _ in ticks.split(", "):
        following = schedule.next_after(moment)
        assert following is not None and following > moment
        moment = following
        found.append(schedule.local(moment).strftime("%m-%d %H:%M%z"))
    assert ", ".join(found) == ticks


def test_the_arguments_are_those_of_the_class() -> None:
    table = next(block for block in page("schedules").text.split("\n\n") if block.startswith("| argument |"))
    named = [names_in(line)[0] for line in table.splitlines()[2:]]
    assert named == [field.name for field in fields(Schedule) if field.name != "_"]
