"""Keys, rates and frames, without a terminal."""

from __future__ import annotations

import dataclasses
from time import monotonic
from typing import Any

import pytest

from steadypool import Health, PoolState, PoolStats
from steadypool.cli.top.columns import Column, table
from steadypool.cli.top.frame import draw
from steadypool.cli.top.keys import keys_in
from steadypool.cli.top.link import Text
from steadypool.cli.top.rates import rates_between
from steadypool.cli.top.view import HISTORY, View
from steadypool.model.reports import WorkerStats
from steadypool.model.snapshots import ErrorLine, PoolSnapshot, Snapshot, TaskTimes

BOOKS = dict.fromkeys((field.name for field in dataclasses.fields(PoolStats)), 0) | {
    "name": "pool",
    "state": PoolState.OPEN,
    "max_workers": 3,
    "capacity": 3,
    "queue_size": 100,
    "held_back": {},
    "worker_rows": (),
}
HEALTH = Health("pool", PoolState.OPEN, alive=True, ready=True, capacity=3)


def pool(number: int = 1, rows: int = 3, tasks: int = 0, errors: int = 0, **books: int) -> PoolSnapshot:
    workers = tuple(WorkerStats(f"w-{n}", None, f"job-{n}", "task", float(n), n) for n in range(rows))
    stats = PoolStats(**{**BOOKS, **books, "worker_rows": workers})  # type: ignore[arg-type]
    return PoolSnapshot(
        number,
        "threads",
        65.0,
        HEALTH,
        stats,
        tasks=tuple(TaskTimes(f"task-{n}", 4, 1, 2.0, 1.0) for n in range(tasks)),
        errors=tuple(ErrorLine(f"task-{n}", "ValueError", f"no {n}", "a.py:1", 1, 0.0, 0.0) for n in range(errors)),
    )


def snapshot(*pools: PoolSnapshot, at: float = 1.0) -> Snapshot:
    return Snapshot("1", 7, "python service.py", at, pools)


def view_of(*pools: PoolSnapshot) -> View:
    view = View(30.0)
    view.hear(snapshot(*pools))
    return view


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[Bj", ["up", "down", "j"]),
        (b"\x1bOA\x1b", ["up", "escape"]),
        (b"\x1b[1;5Cx", ["x"]),
        (b"\x1b[24~\t\r", ["tab", "enter"]),
        (b"\xc3\xa4s\x01", ["s"]),
        (b"\x1b[", []),
        (b"\x1b[[Cc\x1b[\x1b[A", ["c", "up"]),
    ],
)
def test_keys(typed: bytes, keys: list[str]) -> None:
    assert keys_in(typed) == keys


def test_rates_are_what_changed_between_two_looks() -> None:
    before = snapshot(pool(accepted=10, succeeded=4), pool(2), at=10.0)
    now = snapshot(pool(accepted=14, succeeded=5, failed=2, retries=1), pool(3), at=12.0)
    rates = rates_between(before, now)
    assert set(rates) == {1}
    assert dataclasses.astuple(rates[1]) == (2.0, 1.5, 1.0, 0.5)
    assert rates_between(None, now) == rates_between(now, now) == {}


def test_the_stuck_stand_first_then_those_that_run_longest() -> None:
    stuck = WorkerStats("lost", None, "job-x", "task", 900.0, 1)
    view = view_of(dataclasses.replace(pool(), stuck_rows=(stuck,)))
    assert [(row.name, is_stuck) for row, is_stuck in view.rows] == [
        ("lost", True),
        ("w-2", False),
        ("w-1", False),
        ("w-0", False),
    ]
    view.press("down")
    assert view.worker == "lost"
    view.press("down")
    view.press("page down")
    assert view.worker == "w-0"


def test_a_stack_is_asked_for_and_scrolled() -> None:
    view = view_of(pool())
    view.press("s")
    assert [(q.do, q.pool, q.job) for q in view.questions] == [("stack", 1, "job-2")]
    view.hear(Text("\n".join(f"line {n}" for n in range(100))))
    view.press("page down")
    text = draw(view, 80, 24).plain
    assert "line 10" in text and "line 9\n" not in text and "more lines" in text
    view.hear(snapshot(pool(rows=0)))
    view.press("r")
    assert len(view.questions) == 2  # it may have ended: the program will say so
    view.press("escape")
    view.press("s")
    assert view.page is None and "no job runs now" in draw(view, 80, 24).plain


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10), (20, 5), (10, 3)])
def test_a_frame_fills_its_screen_exactly(size: tuple[int, int]) -> None:
    width, height = size
    view = view_of(pool(rows=50, tasks=30, errors=30))
    lines = draw(view, width, height).plain.split("\n")
    assert len(lines) == height and max(map(len, lines)) <= width
    if width == 80:
        assert sum("task-" in line for line in lines) >= 3 and sum("ValueError" in line for line in lines) >= 2
        assert sum(" w-" in line for line in lines) == 5 and "  … 45 more" in lines


def test_a_frame_before_anything_is_known() -> None:
    assert "no pool yet" in draw(View(30.0), 80, 24).plain


def test_a_program_that_does_not_answer() -> None:
    view = view_of(pool())
    view.heard_at = monotonic() - 10
    assert "no answer for 10 s" in draw(view, 80, 24).plain


def test_columns_cut_and_what_could_move_the_cursor() -> None:
    columns = [Column("a", width=4), Column("b", share=1, right=True)]
    heading, row = table(columns, [["long text", "\x1b[2J\n"]], ["bold"], 20)
    assert heading.plain == "  a              b"
    assert row.plain == "  lon…   \\x1b[2J\\n"


@pytest.mark.parametrize(
    ("columns", "width", "widths"),
    [
        ([Column("a", share=1), Column("b", width=5), Column("c", share=3)], 53, [10, 5, 30]),
        ([Column("a", share=1, most=6), Column("b", share=1)], 36, [6, 24]),
        ([Column("a", share=3, most=9), Column("b", share=1, most=9)], 200, [9, 9]),
        ([Column("a", share=1), Column("b", share=1)], 5, [1, 1]),
    ],
)
def test_columns_share_a_width_as_far_as_they_need_it(columns: list[Column], width: int, widths: list[int]) -> None:
    [line] = table(columns, [], [], width)
    assert [len(cell.plain) for cell in cells_of(line, [column.heading for column in columns])] == widths


def cells_of(line: Any, headings: list[str]) -> list[Any]:
    """The line cut where each heading begins, without the gaps."""
    starts = [line.plain.index(heading) for heading in headings]
    ends = [*(start - 2 for start in starts[1:]), len(line)]
    return [line[start:end] for start, end in zip(starts, ends, strict=True)]


def test_long_lines_of_a_text_are_folded_and_nothing_is_lost() -> None:
    view = view_of(pool())
    view.press("s")
    view.hear(Text("".join(f"  {letter * 100}\n" for letter in "abc")))
    text = draw(view, 80, 24).plain
    assert [text.count(letter * 20) > 0 and text.count(letter) >= 100 for letter in "abc"] == [True] * 3
    text = draw(view, 30, 16).plain
    assert text.count("a" * 20) == 4 and "bbb" not in text and "… 2 more lines" in text
    view.press("down")
    text = draw(view, 30, 16).plain
    assert "aaa" not in text and text.count("b") >= 100 and "… 1 more line\n" in text


def test_a_text_is_folded_between_words() -> None:
    view = view_of(pool())
    view.press("s")
    view.hear(Text("ordinary words " * 10))
    shown = draw(view, 40, 24).plain.split("\n")[8:13]
    assert {word for line in shown for word in line.split()} == {"ordinary", "words"}
    for width in (5, 6, 7, 8, 12):
        assert max(map(len, draw(view, width, 24).plain.split("\n"))) <= width


def test_errors_are_asked_for_in_full() -> None:
    view = view_of(pool())
    view.press("e")
    assert view.questions == [] and "nothing has failed" in draw(view, 80, 24).plain
    assert "e errors" not in draw(view_of(pool()), 80, 24).plain
    view = view_of(pool(errors=2))
    assert "e errors" in draw(view, 80, 24).plain
    view.press("e")
    assert [(q.do, q.pool) for q in view.questions] == [("errors", 1)]
    view.hear(Text("1 x task: ValueError\n"))
    assert "1 x task: ValueError" in draw(view, 80, 24).plain
    view.press("r")
    assert [q.do for q in view.questions] == ["errors", "errors"]
    view.press("escape")
    view.end()
    view.press("e")
    assert len(view.questions) == 2


def test_a_wide_screen_shows_how_the_rate_went() -> None:
    view = view_of(pool())
    for moment, ended in ((2.0, 0), (3.0, 8), (4.0, 12)):
        view.hear(snapshot(pool(succeeded=ended, accepted=ended), at=moment))
    assert "▁█▅ out" in draw(view, 120, 24).plain
    assert "█▅" not in draw(view, 80, 24).plain
    for moment in range(5, 100):
        view.hear(snapshot(pool(), at=float(moment)))
    assert len(view.history[1]) == HISTORY


def test_lost_room_is_said() -> None:
    lost = dataclasses.replace(pool(stuck=2, running=1, capacity=2))
    assert "1 of 3 busy   room for 2   2 stuck" in draw(view_of(lost), 80, 24).plain


def test_the_limits_that_hold_jobs_back_are_named_the_most_first() -> None:
    seen = pool(waiting=7, retrying=1)
    held = dataclasses.replace(seen, stats=dataclasses.replace(seen.stats, held_back={"mail": 2, "api\x1b": 4}))
    line = next(line for line in draw(view_of(held), 120, 24).plain.splitlines() if "  queue " in line)
    assert line.split(" 7 of 100   ")[1] == "4 held back by api\\x1b   2 held back by mail   1 retrying"
    assert "held back" not in draw(view_of(seen), 120, 24).plain
