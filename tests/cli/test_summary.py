"""The errors at the end fit the terminal: two lines for each group."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from steadypool import ErrorGroup
from steadypool.cli.console import print_errors

LONG = ErrorGroup(
    task="a.task.of.a.long.name",
    type_name="steadypool.WorkerCrashed",
    where="/somewhere/in/a/deep/folder/of/a/library/ctypes/__init__.py:538 in string_at",
    count=1234,
    first_seen=0.0,
    last_seen=100.0,
    traceback="",
    job_ids=("demo-53",),
    message="worker process 31790 was killed by SIGSEGV and this goes on for longer than any line\nand more",
    arguments=("('x' * 100)",),
)
SHORT = ErrorGroup("t", "ValueError", "", 1, 0.0, 0.0, "", ("p-1",), "\x1b[31mred")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_each_group_is_two_lines(width: int) -> None:
    out = io.StringIO()
    print_errors(Console(file=out, width=width), (SHORT, LONG))
    lines = out.getvalue().splitlines()
    assert lines[0] == "1,235 errors in 2 groups" and len(lines) == 5
    assert all(len(line) <= width for line in lines)
    assert lines[1].startswith("  1,234  WorkerCrashed: worker process 31790 was killed by")
    assert lines[2].startswith("         /somewhere/in/a/deep/folder")
    assert lines[3].strip().startswith("1  ValueError:") and "\x1b" not in lines[3]
    assert width < 200 or "latest demo-53('x' * 100)" in lines[2]


def test_many_groups_are_cut() -> None:
    out = io.StringIO()
    print_errors(Console(file=out, width=80), (SHORT,) * 25)
    assert out.getvalue().splitlines()[-1].strip() == "and 5 more groups"
