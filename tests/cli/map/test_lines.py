"""Reading lines: every byte belongs to one line, wherever the blocks are cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steadypool.cli.map.lines import BLOCK, LineSource


def read_all(source: LineSource) -> list[tuple[int, str, int]]:
    lines = []
    while not source.is_used_up:
        line = source.next_line()
        if line is None:
            source.read_block()
        else:
            lines.append((line.number, line.text, line.size))
    return lines


@pytest.mark.parametrize("shift", range(-3, 4))
def test_a_line_may_span_blocks(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "in"
    first = "x" * (BLOCK + shift)
    path.write_text(f"{first}\nsecond\r\nlast")
    source = LineSource.open(str(path))
    assert read_all(source) == [(1, first, len(first) + 1), (2, "second", 8), (3, "last", 4)]
    assert source.size == path.stat().st_size


def test_a_pipe_has_no_size_and_may_give_parts_of_a_line() -> None:
    reads, writes = os.pipe()
    source = LineSource(reads, "a pipe")
    assert source.blocks
    assert source.size is None
    os.write(writes, b"one\ntw")
    source.read_block()
    assert [line.text for line in (source.next_line(),) if line] == ["one"]
    assert not source.holds_line
    os.write(writes, b"o\n")
    source.read_block()
    os.close(writes)
    assert read_all(source) == [(2, "two", 4)]
    os.close(reads)


def test_what_is_forgotten_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("one\ntwo\n")
    source = LineSource.open(str(path))
    source.read_block()
    source.forget()
    assert source.is_used_up
    assert source.next_line() is None
