"""Texts that come from users, made such that any store can keep them.

PostgreSQL knows no character 0, UTF-8 no half of a surrogate pair (which a file name that is no UTF-8 has in Python),
and no index takes a key of a megabyte. What only explains something, such as an error's message, is rewritten and cut.
What something is found by, such as an id, is refused: rewritten it would be another.
"""

from __future__ import annotations

LONGEST_NAME = 500
"""Bytes of the name of a task, a queue or a worker."""
LONGEST_MESSAGE = 2_000
LONGEST_TRACEBACK = 20_000
"""Characters that are kept of each attempt's error, the end of the traceback being the best part."""
LONGEST_KEY = 2000
"""Bytes of an id or a unique key: with the task's name it has to fit into an entry of an index."""


def storable(text: str, most: int, *, from_end: bool = False) -> str:
    """*most* characters of *text* at most, a plain `str`; what cannot be kept is written as an escape."""
    part = slice(-most, None) if from_end else slice(most)
    # By the methods of `str` itself: an exception's text may be of a class that has others.
    return str.__getitem__(text, part).encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def what_is_wrong_with(text: str, most: int) -> str:
    """Why no store can find something by *text*; empty if it can."""
    if "\0" in text:
        return "has a character 0"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which is no text (a file name that is no UTF-8 has such)"
    return f"takes {size:,} bytes, and may take {most:,}" if size > most else ""
