"""Which characters a database can keep: one in UTF-8 all but the character 0, one in LATIN1 few others than ASCII.

What goes to the server goes in UTF-8, and the server converts it to the database's encoding. Text that explains
something is written such that this always works. Text by which something is found goes as it is; the server refuses
what it has no characters for. Arguments and results are bytes, which are not converted.
"""

from __future__ import annotations

import codecs
from functools import cache

from steadypool.durable.engine.texts import storable

UTF8 = "UTF8"
ANY = frozenset({UTF8, "SQL_ASCII"})
"""Encodings of databases that keep whatever they are sent in UTF-8; SQL_ASCII does so without looking."""


def text_of(value: str, encoding: str = UTF8) -> str:
    """*value* as a database in that encoding can keep it: what it has no character for is written as an escape."""
    if encoding not in ANY and not value.isascii():
        codec = _codec(encoding)
        value = value.encode(codec, "backslashreplace").decode(codec)
    return storable(value, len(value))


@cache
def _codec(encoding: str) -> str:
    """Python's name for an encoding of PostgreSQL's; ASCII, which all have in common, for one that Python has not."""
    try:
        return codecs.lookup(encoding.replace("WIN", "cp")).name
    except LookupError:
        return "ascii"
