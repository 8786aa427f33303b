"""The address of a store, and its parts."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

URL_VARIABLE = "STEADYPOOL_URL"
"""Of the environment: where a queue is that was given no address."""
SCHEMES = ("sqlite", "postgresql", "postgres")
SYNCHRONOUS = ("FULL", "NORMAL")
DRIVERS = ("sqlite3", "apsw")
SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")


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


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """``postgresql://user:password@host:5432/database``; after a ``?`` what libpq knows, and the two settings below."""

    parameters: dict[str, str]
    """For libpq."""
    schema: str = "steadypool"
    """Where the tables are."""
    pooled: bool = False
    """A pooler in transaction mode is in between: nothing is prepared and nothing listened to."""

    @property
    def url(self) -> str:
        """The address again, without its password."""
        known = self.parameters
        user = f"{quote(known['user'])}@" if "user" in known else ""
        port = f":{known['port']}" if "port" in known else ""
        host = known.get("host", "")
        query = {"host": host} if host.startswith("/") else {}
        query |= {"schema": self.schema} if self.schema != "steadypool" else {}
        place = f"{user}{'' if query.get('host') else host}{port}/{quote(known.get('dbname', ''))}"
        return f"postgresql://{place}{'?' if query else ''}{urlencode(query, safe='/')}"


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


def in_folder(url: str, folder: str | None) -> str:
    """The same address, whatever folder becomes the current one: a relative path of a file is completed by *folder*.

    Raises:
        ValueError: there is no folder to complete it by.
    """
    before, scheme, place = url.partition("sqlite:///")
    path, mark, settings = place.partition("?")
    if before or not scheme or not path or unquote(path).startswith("/") or path == ":memory:":
        return url
    if folder is None:
        raise ValueError(f"{url!r} is relative, and the current folder was removed: give an address that is absolute")
    return f"sqlite:///{quote(os.path.normpath(folder))}/{path}{mark}{settings}"


def current_folder() -> str | None:
    """The current folder, unless it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


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


def parse_postgres(url: str) -> PostgresAddress:
    """The parts of a ``postgresql://`` address.

    Raises:
        ValueError: for one that makes no sense.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in given if name in ("schema", "pooled")}
    theirs = urlencode([(name, value) for name, value in given if name not in ours])
    try:
        # Put together by hand: urlunsplit leaves the slashes out where there is no host between them.
        plain = f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if theirs else ''}{theirs}"
        parameters = conninfo_to_dict(plain)
    except psycopg.Error as error:
        raise ValueError(
            f"this is no address of a PostgreSQL database ({str(error).strip()}); one looks like "
            "postgresql://user@host/database?schema=steadypool"
        ) from None
    schema = ours.get("schema", "steadypool")
    if not SCHEMA_NAME.fullmatch(schema):
        raise ValueError(f"schema must be lower-case letters, digits and _, at most 40, not {schema!r}")
    pooled = ours.get("pooled", "no")
    _check_choice("pooled", pooled, ("yes", "no"))
    return PostgresAddress({name: str(value) for name, value in parameters.items()}, schema, pooled == "yes")


def is_same_place(one: str, other: str) -> bool:
    """Whether both addresses lead to the same jobs, as far as can be told without asking; settings do not count.

    Raises:
        ValueError: one of them makes no sense.
    """
    return _place(one) == _place(other)


def shown(url: str) -> str:
    """The address, without a password."""
    parse = parse_sqlite if check_url(url) == "sqlite" else parse_postgres
    return parse(url).url


def _place(url: str) -> str:
    if check_url(url) == "sqlite":
        return os.path.realpath(parse_sqlite(url).path)
    return parse_postgres(url).url


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, not {value!r}")
