"""Writing lines: whole ones, in pieces that a pipe takes at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from steadypool.cli.exit_codes import OutputClosed
from steadypool.cli.map.writer import WHOLE, LineWriter, encode


@pytest.mark.parametrize("text", ["plain", "ä 漢 😀", "bad \udcff name", "both 😀 \udcff"])
def test_a_line_survives_whatever_its_characters(text: str) -> None:
    encoded = encode(json.dumps(text, ensure_ascii=False))
    assert encoded.endswith(b"\n")
    assert json.loads(encoded) == text


def test_lines_are_written_in_order_and_only_by_flush(tmp_path: Path) -> None:
    path = tmp_path / "out"
    writer = LineWriter.create(str(path))
    lines = [str(n) * 100 for n in range(1000)]
    for line in lines:
        writer.add(line)
    assert path.read_text() == ""
    writer.flush()
    writer.flush()
    assert path.read_text().splitlines() == lines


def test_one_write_is_never_more_than_a_pipe_takes_whole_unless_one_line_is() -> None:
    reads, writes = os.pipe()
    writer = LineWriter(writes, "a pipe")
    assert writer.has_reader
    os.set_blocking(reads, False)
    for size in (10, WHOLE - 20, 30, 40):
        writer.add("x" * size)
    writer.flush()
    assert sum(len(line) for line in os.read(reads, 1 << 20).split(b"\n")) == WHOLE + 60
    os.close(reads)
    writer.add("more")
    with pytest.raises(OutputClosed):
        writer.flush()
    os.close(writes)
