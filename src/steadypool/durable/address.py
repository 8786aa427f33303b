"""From the address of a store to its engine: the one place that knows which engines there are."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from steadypool.durable.engine import Engine

URL_VARIABLE = "STEADYPOOL_URL"
"""Of the environment: where a queue is that was given no address."""
SCHEMES = ("sqlite", "postgresql", "postgres")
SYNCHRONOUS = ("FULL", "NORMAL")
DRIVERS = ("sqlite3", "apsw")


@dataclass(frozen=True, slots=True)
class SqliteAddress:
    """``sqlite:///jobs.db`` (relative) or ``sqlite:////var/lib/app/jobs.db``, and what follows a ``?``."""

    path: str
    synchronous: str = "FULL"
    """``FULL``: a commit waits for the disk. ``NORMAL``: it survives the death of every process, but the last commits
    may be lost when the machine loses power."""
    driver: str = "sqlite3"
    """``sqlite3`` of the standard library, or ``apsw``, which brings a SQLite of its own."""

    @property
    def url(self) -> str:
        """The address again."""
        return f"sqlite:///{self.path}"


def open_engine(url: str) -> Engine:
    """An engine for *url*. Nothing is connected yet.

    Raises:
        TypeError, ValueError: for an address that makes no sense, saying what a right one looks like.
        ImportError: the engine needs a library that is not installed, naming the extra to install.
    """
    scheme = check_url(url)
    if scheme == "sqlite":
        from steadypool.durable.sqlite.engine import SqliteEngine

        return SqliteEngine(parse_sqlite(url))
    raise ValueError(f"there is no engine for {scheme}:// in this version; use sqlite:///jobs.db")


def check_url(url: object) -> str:
    """Return the scheme of *url*, or raise `TypeError`/`ValueError`."""
    if not isinstance(url, str):
        raise TypeError(f"the address of a queue must be a str such as 'sqlite:///jobs.db', not {url!r}")
    scheme, found, _ = url.partition("://")
    if not found:
        raise ValueError(
            f"the address of a queue looks like sqlite:///jobs.db, not {url!r}; did you mean sqlite:///{url}?"
        )
    if scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme, SCHEMES, 1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        raise ValueError(f"there is no engine for {scheme}://{hint}; a queue is kept on sqlite:// or postgresql://")
    return scheme


def parse_sqlite(url: str) -> SqliteAddress:
    """The parts of a ``sqlite://`` address.

    Raises:
        ValueError: for one that makes no sense.
    """
    parts = urlsplit(url)
    if parts.netloc:
        raise ValueError(
            f"{url!r} has two slashes; write three before a relative path: sqlite:///{parts.netloc}{parts.path}"
        )
    path = unquote(parts.path.removeprefix("/"))
    if not path or path == ":memory:":
        raise ValueError(f"{url!r} names no file: a durable queue is kept in one, as in sqlite:///jobs.db")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    synchronous = given.pop("synchronous", "FULL").upper()
    driver = given.pop("driver", "sqlite3")
    _check_choice("synchronous", synchronous, SYNCHRONOUS)
    _check_choice("driver", driver, DRIVERS)
    if given:
        raise ValueError(f"{url!r} has the setting {next(iter(given))!r}; there are synchronous and driver")
    return SqliteAddress(path, synchronous, driver)


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, not {value!r}")
