"""Text of others, as a terminal may be given it.

What a job raises, what it is called with and what it is named may hold anything. Control characters would clear the
reader's terminal, set its title or hide a line; others turn the direction of writing round, or show nothing at all.
They are written out instead, as Python writes them: ``\\x1b``, ``\\u202e``.
"""

from __future__ import annotations

import re

# Controls; marks and overrides of direction; what has no width, but for the joiners of scripts and emoji; separators of
# lines; lone surrogates, which `os.fsdecode` makes of bytes that are not UTF-8; tags.
_UNFIT = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_A_LINE = re.compile(f"[{_UNFIT}]")
_IN_LINES = re.compile(f"(?![\n\t])[{_UNFIT}]")


def printable(text: str) -> str:
    """The text in one line."""
    return _IN_A_LINE.sub(_written_out, text)


def printable_lines(text: str) -> str:
    """The same, but with the text's own lines and tabs, as for a traceback."""
    return _IN_LINES.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
