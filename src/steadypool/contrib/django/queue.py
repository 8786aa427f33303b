"""`DjangoQueue`: a durable queue in a database of Django's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import connections, transaction

from steadypool.contrib.django.address import postgres_address, sqlite_address, url_of
from steadypool.contrib.django.connection import open_engine
from steadypool.contrib.django.options import BackendOptions
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.open import open_engine as its_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import EnqueueResult, NewJob
from steadypool.durable.engine.url import PostgresAddress, SqliteAddress


class DjangoQueue(Queue):
    """A queue as the settings have it: `steadypool.Queue`, but for the connection.

    What is looked at, changed and enqueued here goes over Django's own connection of the calling thread, and is in its
    transaction. A worker has connections of its own.
    """

    coroutines = 20
    """Fewer than other queues have: each that uses the database has a connection, and PostgreSQL takes 100."""

    def __init__(self, options: BackendOptions) -> None:
        self._options = options
        self._here = threading.local()
        super().__init__(
            options.url,
            max_payload=options.max_payload,
            app=options.app or program(),
            release=options.release,
            lifespan=_imported(options.lifespan),
        )

    @property
    def alias(self) -> str | None:
        """The database in which it is; ``None`` if it has an address of its own."""
        return self._options.database if self._options.url is None else None

    @property
    def keep(self) -> float:
        """Seconds for which the results of tasks are kept that do not say so themselves."""
        return self._options.keep

    @property
    def url(self) -> str:
        """Where the jobs are kept, for who connects by itself."""
        if self.alias is None:
            return super().url
        return url_of(connections[self.alias], self._options.schema, self._options.pooled)

    @property
    def engine(self) -> Engine:
        """The engine over Django's connection of this thread."""
        if self.alias is None:
            return super().engine
        address = self._address()
        if getattr(self._here, "address", None) != address:
            self._here.address, self._here.engine = address, open_engine(self.alias, address)
        engine: Engine = self._here.engine
        return engine

    @property
    def writer(self) -> Any:
        """Puts jobs over Django's connection of this thread."""
        return super().writer if self.alias is None else WriterHere(self.put_here, lambda: self._opened.writer)

    def new_engine(self) -> Engine:
        """An engine of the caller's own, over Django's connection of this thread if the queue is in its database."""
        return its_engine(self.url) if self.alias is None else open_engine(self.alias, self._address())

    def put_here(self, jobs: Sequence[NewJob]) -> list[EnqueueResult]:
        """Put jobs in the transaction that Django's connection is in."""
        if self.alias is None:
            return list(self.writer.put(list(jobs)))
        connection = connections[self.alias]
        if connection.vendor == "postgresql":
            return self.engine.put_on(connection, jobs)
        placed = self.engine.put_many(jobs)
        if connection.in_atomic_block and not connection.is_in_memory_db():
            transaction.on_commit(self.wake, using=self.alias, robust=True)  # a file announces no commits
        return placed

    def _address(self) -> PostgresAddress | SqliteAddress:
        assert self.alias is not None
        connection = connections[self.alias]
        if connection.vendor == "sqlite":
            return sqlite_address(connection)
        return postgres_address(connection, self._options.schema, self._options.pooled)

    def __reduce__(self) -> Any:
        return DjangoQueue, (self._options,)


class WriterHere:
    """See `durable.client.group_commit.Writer`: what is put from asyncio goes over a connection of its own.

    Django's cannot be used on an event loop. For a job in the transaction there is ``await task.aenqueue(...)``.
    """

    def __init__(self, put_here: Callable[[Sequence[NewJob]], list[EnqueueResult]], own: Callable[[], Any]) -> None:
        self.put = put_here
        self._own = own

    def put_soon(self, jobs: Sequence[NewJob]) -> Any:
        """Put them soon; returns a future."""
        return self._own().put_soon(jobs)


def program() -> str:
    """What the project is called: the package of its settings, whichever of them are in use."""
    module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE") or "django"
    return str(module).partition(".")[0]


def _imported(lifespan: Any) -> Callable[..., Any] | None:
    if not isinstance(lifespan, str):
        found: Callable[..., Any] | None = lifespan
        return found
    from django.utils.module_loading import import_string

    imported: Callable[..., Any] = import_string(lifespan)
    return imported
