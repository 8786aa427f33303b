"""``OPTIONS`` of the backend in the settings: what they may be, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from steadypool.contrib.django.address import VENDORS
from steadypool.durable.client.options import DAY, EnqueueOptions, check_name
from steadypool.durable.client.payload import MOST_BYTES
from steadypool.durable.engine.url import RESERVED, SCHEMA_NAME, check_address
from steadypool.model.checks import check_count
from steadypool.rules.near_names import near_name

APP = "steadypool.contrib.django"


class Problem(NamedTuple):
    """What is wrong with a setting."""

    id: str
    text: str
    hint: str


@dataclass(frozen=True)
class BackendOptions:
    """``OPTIONS``.

    Args:
        database: the alias in ``DATABASES`` of the database that the jobs are kept in.
        url: or an address of another store, such as ``"postgresql://jobs.example/jobs"``.
        schema: where the tables are in PostgreSQL.
        pooled: whether a pooler in transaction mode, such as PgBouncer, is between a worker and PostgreSQL.
        keep: seconds for which results are kept, unless a task says so itself.
        max_payload: bytes of JSON that the arguments of one job may have, and its result; ``None``: no limit.
        modules: names of modules of installed apps that a worker imports besides ``tasks``.
        app, release, lifespan: as of `steadypool.Queue`.
    """

    database: str = DEFAULT_DB_ALIAS
    url: str | None = None
    schema: str = "steadypool"
    pooled: bool = False
    keep: float = DAY
    max_payload: int | None = MOST_BYTES
    modules: Any = ()
    app: str | None = None
    release: str | int | None = None
    lifespan: Any = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> BackendOptions:
        """Those that there are, of *given*."""
        known = {name: value for name, value in given.items() if name in NAMES}
        if isinstance(known.get("modules"), list):
            known["modules"] = tuple(known["modules"])
        return cls(**known)


NAMES = frozenset(field.name for field in fields(BackendOptions))


def problems_of(alias: str, given: Mapping[str, Any], queues: Any) -> Iterator[Problem]:
    """What is wrong with the settings of the backend *alias*."""
    where = f"TASKS[{alias!r}]"
    for name in sorted(given.keys() - NAMES):
        near = near_name(name, NAMES)
        hint = f"Did you mean {near!r}?" if near else f"There are {', '.join(sorted(NAMES))}."
        yield Problem("E001", f"{where}['OPTIONS'] has {name!r}, which is no option.", hint)
    if APP not in settings.INSTALLED_APPS and not _is_installed():
        yield Problem("E002", f"{APP} is not in INSTALLED_APPS.", "Add it: it has the command, the tables, the admin.")
    options = BackendOptions.of(given)
    yield from _values(where, options)
    yield from _place(where, given, options)
    if isinstance(queues, str):
        yield Problem("E006", f"{where}['QUEUES'] is a text.", f"Make it a list: [{queues!r}].")
    for name in () if isinstance(queues, str) else sorted(queues, key=str):
        yield from _checked("E006", f"{where}['QUEUES']", lambda name=name: check_name("a queue", name, "mail"))


def _is_installed() -> bool:
    from django.apps import apps

    return bool(apps.ready and apps.is_installed(APP))


def _values(where: str, options: BackendOptions) -> Iterator[Problem]:
    yield from _checked("E005", where, lambda: EnqueueOptions(keep=options.keep))
    if options.max_payload is not None:
        yield from _checked("E005", where, lambda: check_count("max_payload", options.max_payload))
    if isinstance(options.modules, str):
        yield Problem("E005", f"{where}['OPTIONS']['modules'] is a text.", f"Make it a list: [{options.modules!r}].")
    if options.schema in RESERVED or not SCHEMA_NAME.fullmatch(str(options.schema)):
        text = f"{where}['OPTIONS']['schema'] is {options.schema!r}, which is no name of a schema."
        yield Problem("E005", text, "Give lower-case letters, digits and _, at most 40.")


def _place(where: str, given: Mapping[str, Any], options: BackendOptions) -> Iterator[Problem]:
    if options.url is not None:
        if "database" in given:
            yield Problem("E004", f"{where}['OPTIONS'] has url and database.", "Leave one of them out.")
        yield from _checked("E004", f"{where}['OPTIONS']['url']", lambda: check_address(options.url))
        return
    from django.db import connections

    if options.database not in settings.DATABASES:
        known = ", ".join(map(repr, settings.DATABASES)) or "no database"
        text = f"{where}['OPTIONS']['database'] is {options.database!r}, and DATABASES has {known}."
        yield Problem("E003", text, "Name one of these, or give an address as OPTIONS['url'].")
    elif (vendor := connections[options.database].vendor) not in VENDORS:
        text = f"The database {options.database!r} of {where} is one of {vendor}."
        yield Problem("E003", text, "A queue is kept in SQLite or PostgreSQL: name another alias, or give 'url'.")


def _checked(number: str, where: str, check: Any) -> Iterator[Problem]:
    try:
        check()
    except (TypeError, ValueError) as error:
        yield Problem(number, f"{where}: {error}.", "")
