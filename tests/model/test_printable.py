"""What text of others becomes before a terminal sees it."""

from __future__ import annotations

import pytest

from steadypool.model.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本, 👩‍💻", "plain, naïve, 日本, 👩‍💻"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m\x7f\x00\x08", "\\x9b31m\\x7f\\x00\\x08"),
        ("two\nlines\r\tand a tab", "two\\nlines\\r\\tand a tab"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("one\u2028two\u2029three\x85four", "one\\u2028two\\u2029three\\x85four"),
        ("nothing\u200b\ufeff\u2060to see\U000e0041", "nothing\\u200b\\ufeff\\u2060to see\\U000e0041"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_what_would_move_the_cursor_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode() and printable(shown) == shown


def test_a_text_of_several_lines_keeps_them() -> None:
    assert printable_lines("one\n\ttwo\r\n\x1b[A\u2028") == "one\n\ttwo\\r\n\\x1b[A\\u2028"
