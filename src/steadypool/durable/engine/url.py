"""The address of a store, and its parts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

URL_VARIABLE = "STEADYPOOL_URL"
"""Of the environment: where a queue is that was given no address."""
SCHEMES = ("sqlite", "postgresql", "postgres")
SYNCHRONOUS = ("FULL", "NORMAL")
DRIVERS = ("sqlite3", "apsw")
SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_WORDS = """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column
concurrently constraint create cross current_catalog current_date current_role current_schema current_time
current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze from
full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
returning right select session_user similar some symmetric system_user table tablesample then to trailing true union
unique user using variadic verbose when where window with
"""
RESERVED = frozenset(_WORDS.split())
"""Words of SQL that are no names of schemas."""
OUR_SETTINGS = ("schema", "pooled")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSION_ATTRIBUTES = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
Settings = list[tuple[str, str]]


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
        return f"sqlite:///{self.path.replace('%', '%25').replace('?', '%3F')}"


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
        user = f"{quote(known['user'], safe='')}@" if "user" in known else ""
        host, port = known.get("host", ""), known.get("port", "")
        query: dict[str, str] = {name: known[name] for name in ("service", "hostaddr") if name in known}
        if "/" in host:
            query |= {"host": host} | ({"port": port} if port else {})
        if self.schema != "steadypool":
            query["schema"] = self.schema
        place = f"{user}{'' if '/' in host else _hosts(host, port)}/{quote(known.get('dbname', ''), safe='')}"
        settings = "&".join(f"{name}={quote(value, safe='/,')}" for name, value in query.items())
        return f"postgresql://{place}{'?' if settings else ''}{settings}"


def _hosts(host: str, port: str) -> str:
    """Hosts and ports as they stand in an address: each host has its own port, or there is one for all."""
    hosts, ports = host.split(","), port.split(",")
    each = ports if len(ports) == len(hosts) else ports * len(hosts)
    shown = (f"[{name}]" if ":" in name else name for name in hosts)
    return ",".join(f"{name}:{number}" if number else name for name, number in zip(shown, each, strict=False))


def check_address(url: object) -> None:
    """Do nothing, unless an engine would refuse the address. Without psycopg it cannot say so of one of PostgreSQL.

    Raises:
        TypeError, ValueError: saying what is wrong with it.
    """
    scheme = check_url(url)
    assert isinstance(url, str)
    if scheme == "sqlite":
        parse_sqlite(url)
        return
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return
    parse_postgres(url)


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
        import difflib  # for a mistake alone

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


@lru_cache(64)
def parse_sqlite(url: str) -> SqliteAddress:
    """The parts of a ``sqlite://`` address.

    Raises:
        ValueError: for an invalid one.
    """
    place, settings = _split(url)
    if not place.startswith("/"):
        raise ValueError(f"{url!r} has two slashes; write three before a relative path: sqlite:///{place or 'jobs.db'}")
    path = unquote(place.removeprefix("/"))
    if not path or path == ":memory:" or path.endswith("/"):
        raise ValueError(f"{url!r} names no file: a durable queue is kept in one, as in sqlite:///jobs.db")
    if "\0" in path:
        raise ValueError(f"{url!r} has a character 0, which no file's name can have")
    given = dict(settings)
    synchronous = given.pop("synchronous", "FULL").upper()
    driver = given.pop("driver", "sqlite3")
    _check_choice("synchronous", synchronous, SYNCHRONOUS)
    _check_choice("driver", driver, DRIVERS)
    if given:
        raise ValueError(f"{url!r} has the setting {next(iter(given))!r}; there are synchronous and driver")
    return SqliteAddress(path, synchronous, driver)


@lru_cache(64)
def parse_postgres(url: str) -> PostgresAddress:
    """The parts of a ``postgresql://`` address.

    Raises:
        ValueError: for an invalid one.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    place, settings = _split(url, raw=True)
    ours = {name: unquote(value) for name, value in settings if name in OUR_SETTINGS}
    # As it was written: libpq knows %20 for a space, and + is a plus.
    theirs = "&".join(f"{name}={value}" if value else name for name, value in settings if name not in OUR_SETTINGS)
    try:
        parameters = conninfo_to_dict(f"{url.partition('://')[0]}://{place}{'?' if theirs else ''}{theirs}")
    except psycopg.Error as error:
        raise ValueError(
            f"this is no address of a PostgreSQL database ({str(error).strip()}); one looks like "
            "postgresql://user@host/database?schema=steadypool"
        ) from None
    schema = ours.get("schema", "steadypool")
    if not SCHEMA_NAME.fullmatch(schema):
        raise ValueError(f"schema must be lower-case letters, digits and _, at most 40, not {schema!r}")
    if schema in RESERVED or schema.startswith("pg_"):
        raise ValueError(f"schema must not be {schema!r}, which is a word of SQL or PostgreSQL's own")
    pooled = ours.get("pooled", "no")
    _check_choice("pooled", pooled, ("yes", "no"))
    known = {name: str(value) for name, value in parameters.items()}
    _check_parameters(known)
    return PostgresAddress(known, schema, pooled == "yes")


def _check_parameters(known: dict[str, str]) -> None:
    """What libpq says only when it connects."""
    ports, hosts = known.get("port", "").split(","), known.get("host", "").split(",")
    for port in ports:
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError(f"the port in an address must be a number up to 65535, not {port!r}")
    if len(ports) not in (1, len(hosts)):
        raise ValueError(f"an address needs one port for all of its {len(hosts)} hosts, or one each, not {len(ports)}")
    for name, choices in (("sslmode", SSL_MODES), ("target_session_attrs", SESSION_ATTRIBUTES)):
        if name in known:
            _check_choice(name, known[name], choices)
    timeout = known.get("connect_timeout", "0")
    if not timeout.strip().removeprefix("-").isdigit():
        raise ValueError(f"connect_timeout must be a whole number of seconds, not {timeout!r}")


def _split(url: str, *, raw: bool = False) -> tuple[str, Settings]:
    """What stands before the ``?``, without the scheme, and the settings behind it.

    By hand: for `urllib` a ``#`` ends the address, a ``?`` in a password too, and a ``+`` is a space.
    """
    rest = url.partition("://")[2]
    user = rest.partition("/")[0].rfind("@") + 1
    place, _, query = rest[user:].partition("?")
    settings = [(unquote(name), value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
    return rest[:user] + place, settings if raw else [(name, unquote(value)) for name, value in settings]


def for_reading(url: str) -> str:
    """The address for one who only looks: the server lets nothing be written over it.

    As it is, if it has options of its own or a pooler is in between. Files are read without writing.
    """
    if check_url(url) == "sqlite" or "PGOPTIONS" in os.environ:
        return url
    address = parse_postgres(url)
    if address.pooled or "options" in address.parameters:
        return url
    mark = "&" if _split(url)[1] else "?"
    return f"{url.rstrip('?&')}{mark}options=-c%20default_transaction_read_only%3Don"


def is_same_place(one: str, other: str) -> bool:
    """Whether both addresses lead to the same jobs, as far as is known without asking; settings do not count.

    Raises:
        ValueError: one of them is invalid.
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
