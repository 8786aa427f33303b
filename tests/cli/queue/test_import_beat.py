"""``steadypool import-celery-beat`` of a mapping: what is printed has Celery's ticks, and what differs is refused."""

from __future__ import annotations

import json
import random
import re
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.beat import BeatLazyFunc
from celery.schedules import crontab, schedule, solar

from steadypool import Cron
from steadypool.cli.queue.beat_entry import module, written
from tests.cli.program import Program
from tests.cli.queue.beat import pasted, ticks_in_celery

APP = """
    from datetime import timedelta
    from celery import Celery
    from celery.schedules import crontab

    app = Celery("shop", broker="memory://")
    app.conf.timezone = "Asia/Tokyo"
    SCHEDULE = {
        "nightly": {"task": "shop.tasks.nightly", "schedule": crontab(minute=30, hour=2)},
        "deep": {"task": "shop.tasks.reindex", "schedule": timedelta(hours=6), "kwargs": {"deep": True}},
        "shallow": {
            "task": "shop.tasks.reindex",
            "schedule": crontab(minute=0, hour="8-18/2", day_of_week="monday-fri"),
            "kwargs": {"deep": False, "note": "it's \\u202e\\n"},
        },
        "add": {"task": "shop.tasks.add", "schedule": 30.0, "args": (16, 16), "kwargs": {"x-y": [None]}},
        "mail": {"task": "other.tasks.nightly", "schedule": 90, "options": {"queue": "mail"}},
        "no module": {"task": "send-mail", "schedule": 2.5},
        "late": {"task": "shop.tasks.add", "schedule": 60, "options": {"expires": 30}},
        "nothing": 3,
        "never": {"task": "shop.tasks.add", "schedule": 1e14},
    }
    app.conf.beat_schedule = SCHEDULE

    @app.on_after_finalize.connect
    def more(sender, **_):
        @app.task(name="other.tasks.hello")
        def hello(): ...
        sender.add_periodic_task(10.0, hello.s(), name="hello")
"""
PAGE = Path(__file__).parents[3] / "docs" / "schedules.md"
START = datetime(2026, 6, 1, 12, 7, tzinfo=UTC)


@pytest.fixture
def shop(program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


def test_what_is_printed_runs_and_the_rest_is_refused(shop: Program) -> None:
    done = shop.run("import-celery-beat", "shop:app")
    assert done.code == 1 and done.err.splitlines() == [
        "refused late: it has expires, and jobs do not expire here: have the task look at current_job().scheduled_for",
        "refused nothing: it is 3, and no mapping with a task and a schedule",
        "refused never: days=1157407407; must have magnitude <= 999999999",
    ]
    queue = pasted(done.out, f"sqlite:///{shop.folder}/jobs.db")
    declared = {one.name: one for one in queue.schedules.declared(START.timestamp())}
    kept = {one.name: one for one in queue.schedules.list()}
    assert declared.keys() == {"nightly", "deep", "shallow", "hello"} and kept.keys() == {"add", "mail", "no module"}
    every = declared | kept
    assert {name: str(one.schedule) for name, one in every.items()} == {
        "nightly": "30 2 * * * Asia/Tokyo",
        "deep": "every 6:00:00 UTC",
        "shallow": "0 8-18/2 * * mon-fri Asia/Tokyo",
        "hello": "every 0:00:10 UTC",
        "add": "every 0:00:30 UTC",
        "mail": "every 0:01:30 UTC",
        "no module": "every 0:00:02.500000 UTC",
    }
    assert every["deep"].task == every["shallow"].task == "shop.tasks.reindex"
    assert json.loads(every["shallow"].row.job)["payload"] == {"deep": False, "note": "it's \u202e\n"}
    assert json.loads(every["add"].row.job)["payload"] == {"args": [16, 16], "kwargs": {"x-y": [None]}}
    assert json.loads(every["mail"].row.job)["queue"] == "mail"
    assert every["nightly"].next(5, now=START.timestamp()) == ticks_in_celery("Asia/Tokyo", START, minute=30, hour=2)
    queue.close()


def test_a_mapping_has_the_zone_that_is_given(shop: Program) -> None:
    (shop.folder / "one.py").write_text(
        "from celery.schedules import crontab\nBEAT = {'a': {'task': 'x.f', 'schedule': crontab(hour=6, minute=0)}}\n"
    )
    assert "tz='UTC'" in shop.run("import-celery-beat", "one:BEAT").out
    done = shop.run("import-celery-beat", "one:BEAT", "--tz", "Europe/Berlin")
    assert done.code == 0 and "@queue.task(name='x.f', schedule=Cron('0 6 * * *', tz='Europe/Berlin'" in done.out
    assert "When clocks change" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("shop:SCHEDULE", "--tz", "Mars/Base"), "there is no zone 'Mars/Base'"),
        (("shop:crontab",), "is no Celery app, and no mapping such as its beat_schedule"),
        (("nowhere:app",), "there is no module 'nowhere'"),
        (("sqlite:///none.db",), "none.db cannot be opened"),
        (("sqlite:///empty.db",), "the tables of django-celery-beat cannot be read: no such table"),
        (("mysql://shop",), "there is no engine for mysql://"),
    ],
)
def test_a_source_that_cannot_be_read(shop: Program, arguments: tuple[str, ...], says: str) -> None:
    (shop.folder / "empty.db").touch()
    done = shop.run("import-celery-beat", *arguments)
    assert done.code == 2 and says in done.err and "Traceback" not in done.err and not done.out


def test_the_page_shows_what_is_printed(program: Program) -> None:
    section = PAGE.read_text().partition("## Translate Celery beat")[2]
    code, printed = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)[:2]
    (program.folder / "settings.py").write_text(code)
    done = program.run("import-celery-beat", "settings:BEAT")
    assert done.out + done.err == printed


# -- without a process


@pytest.mark.parametrize(
    ("fields", "start", "celery", "here"),
    [
        ({"minute": 30, "hour": 2}, "2026-03-28 22:00", "29 03:30", "29 03:00"),
        ({"minute": "*/30", "hour": 2}, "2026-03-28 22:00", "29 03:00", "30 02:00"),
        ({"minute": 0}, "2026-10-25 00:00", "25 03:00", "25 02:00"),
        ({"minute": 30, "hour": 2}, "2026-10-25 00:30", "26 02:30", "26 02:30"),
    ],
)
def test_what_the_page_says_of_clock_changes(fields: dict[str, Any], start: str, celery: str, here: str) -> None:
    after = datetime.fromisoformat(start).replace(tzinfo=UTC)
    [tick] = ticks_in_celery("Europe/Berlin", after, 1, **fields)
    source = written("a", {"task": "a.b", "schedule": crontab(**fields)}, "Europe/Berlin").when
    ours = eval(f"{source})", {"Cron": Cron})
    assert tick.strftime("%d %H:%M") == celery
    assert ours.local(ours.next_after(after.timestamp())).strftime("%d %H:%M") == here


def refusal(**entry: Any) -> str:
    with pytest.raises((ValueError, TypeError)) as caught:
        written("name", {"task": "shop.f", "schedule": 60, **entry}, "UTC")
    return str(caught.value)


class Own(crontab):  # type: ignore[misc]
    def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
        return True, 60.0


def sunset() -> solar:
    made = solar.__new__(solar)  # its constructor wants ephem
    made.event = "sunset"
    return made


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"schedule": sunset()}, "it is solar (sunset)"),
        ({"schedule": schedule(3600, relative=True)}, "relative=True rounds"),
        ({"relative": True}, "relative=True rounds"),
        ({"schedule": 0.5}, "an interval of 1 second or more"),
        ({"schedule": timedelta(microseconds=5)}, "an interval of 1 second or more"),
        ({"schedule": None}, "its schedule is None"),
        ({"schedule": True}, "its schedule is True"),
        ({"schedule": "hourly"}, "its schedule is 'hourly'"),
        ({"schedule": Own()}, "its Own decides by code of its own"),
        ({"schedule": crontab(nowfun=datetime.now)}, "its nowfun= is a clock of its own"),
        ({"schedule": crontab(0, 6, "mon", "13")}, "day_of_month 13 and day_of_week mon must both fit"),
        ({"schedule": crontab(0, 6, "mon", "1-8")}, "must both fit"),
        ({"options": {"expires": 10}}, "it has expires"),
        ({"options": {"priority": 0}}, "its priority means the opposite"),
        ({"options": {"countdown": 3}}, "no option countdown=3"),
        ({"options": {"headers": {"a": 1}}}, "no option headers={'a': 1}"),
        ({"args": (BeatLazyFunc(datetime.now),)}, "cannot be written as JSON"),
        ({"kwargs": {"x": {1: 2}}}, "cannot be written as JSON"),
        ({"kwargs": {"x": float("nan")}}, "cannot be written as JSON"),
        ({"kwargs": {"x": "\ud800"}}, "surrogate"),
        ({"task": None}, "its task is None"),
        ({"task": "celery.backend_cleanup"}, "housekeeping of Celery's own"),
        ({"one_off": True}, "it is one_off"),
        ({"start_time": "2999-01-01 00:00:00"}, "it begins at 2999-01-01"),
        ({"cron_queue": 1}, "what its 'cron_queue' means is not known"),
    ],
)
def test_what_is_refused(entry: dict[str, Any], says: str) -> None:
    assert says in refusal(**entry)


def test_a_name_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="the name of a schedule"):
        written("n" * 1000, {"task": "shop.f", "schedule": 60}, "UTC")


FIELDS = [
    {},
    {"minute": "*/7", "hour": "*/5"},
    {"minute": 0, "hour": "22-2"},
    {"minute": "50-10/5", "hour": 3},
    {"minute": [0, 30], "hour": {6, 7}, "month_of_year": (1, 7)},
    {"minute": "0", "hour": "0", "day_of_week": "sunday"},
    {"minute": "0", "hour": "0", "day_of_week": "fri-mon"},
    {"minute": "0", "hour": "0", "day_of_week": "*/2"},
    {"minute": "0", "hour": "0", "day_of_week": "sun,6"},
    {"minute": "0", "hour": "0", "day_of_week": "0-6"},
    {"minute": "5", "hour": "6", "day_of_month": "1-7,15-21", "day_of_week": "mon"},
    {"minute": "5", "hour": "6", "day_of_month": "8-14", "day_of_week": "mon,thursday"},
    {"minute": "5", "hour": "6", "day_of_month": "*/2", "day_of_week": "1-3"},
    {"minute": "5", "hour": "6", "day_of_month": "13", "day_of_week": "*/3"},
    {"minute": "5", "hour": "6", "day_of_month": "1-31", "day_of_week": "tue"},
    {"minute": "5", "hour": "6", "day_of_month": "28-3", "month_of_year": "nov-feb"},
    {"minute": "*/100", "hour": "*/30", "day_of_month": "2-30/2", "month_of_year": "*/3"},
]


@pytest.mark.parametrize("fields", FIELDS, ids=repr)
def test_a_crontab_has_the_ticks_of_celery(fields: dict[str, Any], tmp_path: Path) -> None:
    compare({"one": fields}, tmp_path)


def test_crontabs_made_at_random_have_the_ticks_of_celery(tmp_path: Path) -> None:
    chance = random.Random(4711)

    def field(low: int, high: int) -> str:
        first, last = chance.randint(low, high), chance.randint(low, high)
        shapes = ["*", "*", str(first), f"{first},{last}", f"{first}-{last}", f"{first}-{last}/3", "*/4"]
        return chance.choice(shapes)

    made: dict[str, dict[str, Any]] = {}
    for number in range(100):
        fields = {"minute": field(0, 59), "hour": field(0, 23), "month_of_year": field(1, 12)}
        made[f"n{number}"] = fields | chance.choice([{"day_of_month": field(1, 28)}, {"day_of_week": field(0, 6)}])
    compare(made, tmp_path)


def compare(every: dict[str, dict[str, Any]], folder: Path) -> None:
    found = [
        written(name, {"task": f"shop.{name}", "schedule": crontab(**fields)}, "Asia/Tokyo")
        for name, fields in every.items()
    ]
    for as_data in (False, True):
        queue = pasted("\n".join(module(found, as_data=as_data)), f"sqlite:///{folder}/{as_data}.db")
        handles = queue.schedules.list(limit=1000) if as_data else queue.schedules.declared(START.timestamp())
        assert len(handles) == len(every)
        for one in handles:
            if as_data:
                one.pause()  # so that its ticks are counted from any moment
                one = queue.schedules.get(one.name)
            expected = ticks_in_celery("Asia/Tokyo", START, **every[one.name])
            assert one.next(5, now=START.timestamp()) == expected, (one, every[one.name])
        queue.close()
