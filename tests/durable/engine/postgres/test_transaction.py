"""Enqueueing in the caller's own transaction: the job is there if, and only if, that commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django.db
import psycopg
import pytest
import sqlalchemy as sa
from django.conf import settings
from django.db import connections, transaction
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from steadypool import Queue
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.records import NewJob
from tests.durable.engine.postgres import server

ROWS = "CREATE TABLE orders (number int)"
INSERT = "INSERT INTO orders VALUES (1)"


class Rollback(Exception):
    """Raised in a transaction that is not to commit."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A database with a table of the application's own."""
    with server.database(server.template()) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ROWS)
        yield url


@pytest.fixture
def queue(address: str) -> Iterator[Queue]:
    queue = Queue(address)

    @queue.task
    def ship(order: int) -> None: ...

    yield queue
    queue.close()


def alchemy(address: str) -> str:
    return address.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def by_psycopg(address: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    with psycopg.connect(address, row_factory=dict_row) as connection:  # type: ignore[arg-type]
        yield connection, lambda: connection.execute(INSERT)


@contextmanager
def by_psycopg_in_a_block(address: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    with psycopg.connect(address, autocommit=True) as connection, connection.transaction():
        yield connection, lambda: connection.execute(INSERT)


@contextmanager
def by_alchemy_connection(address: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    engine = sa.create_engine(alchemy(address))
    try:
        with engine.begin() as connection:
            yield connection, lambda: connection.execute(sa.text(INSERT))
    finally:
        engine.dispose()


@contextmanager
def by_alchemy_session(address: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    engine = sa.create_engine(alchemy(address))
    try:
        with Session(engine) as session, session.begin():
            yield session, lambda: session.execute(sa.text(INSERT))
    finally:
        engine.dispose()


@contextmanager
def by_alchemy_scoped_session(address: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    engine = sa.create_engine(alchemy(address))
    session = scoped_session(sessionmaker(engine))
    try:
        with session.begin():
            yield session, lambda: session.execute(sa.text(INSERT))
    finally:
        session.remove()
        engine.dispose()


@contextmanager
def by_django(address: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    connection = django_connection(address)
    try:
        with transaction.atomic(using="default"), connection.cursor() as cursor:
            yield connection, lambda: cursor.execute(INSERT)
    finally:
        connection.close()


def django_connection(address: str) -> Any:
    parts = urlsplit(address)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or parse_qs(parts.query)["host"][0],
        "PORT": parts.port or "",
    }
    if not settings.configured:
        settings.configure(DATABASES={"default": database})
        django.setup()
    connections.settings = connections.configure_settings({"default": database})
    connections["default"].close()
    del connections["default"]
    return connections["default"]


WAYS = [
    by_psycopg, by_psycopg_in_a_block, by_alchemy_connection, by_alchemy_session, by_alchemy_scoped_session, by_django
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_job_is_there_if_and_only_if_the_transaction_commits(way: Any, address: str, queue: Queue) -> None:
    ship = queue.tasks[next(iter(queue.tasks))]
    before = orders(address)
    with way(address) as (connection, insert):
        insert()
        handle = ship.enqueue(1, connection=connection)
        assert queue.engine.get(handle.job_id) is None  # nobody else sees it yet
    assert queue.engine.get(handle.job_id) is not None and orders(address) == before + 1
    with pytest.raises(Rollback), way(address) as (connection, insert):
        insert()
        handle = ship.enqueue(2, connection=connection)
        raise Rollback
    assert queue.engine.get(handle.job_id) is None and orders(address) == before + 1


def orders(address: str) -> int:
    with psycopg.connect(address) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM orders").fetchall()
        return int(count)


@asynccontextmanager
async def by_async_psycopg(address: str) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[Any]]]]:
    async with await psycopg.AsyncConnection.connect(address) as connection:
        yield connection, lambda: connection.execute(INSERT)


@asynccontextmanager
async def by_async_alchemy_connection(address: str) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[Any]]]]:
    engine = create_async_engine(alchemy(address))
    try:
        async with engine.begin() as connection:
            yield connection, lambda: connection.execute(sa.text(INSERT))
    finally:
        await engine.dispose()


@asynccontextmanager
async def by_async_alchemy_session(address: str) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[Any]]]]:
    engine = create_async_engine(alchemy(address))
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session, lambda: session.execute(sa.text(INSERT))
    finally:
        await engine.dispose()


@asynccontextmanager
async def by_async_django(address: str) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[Any]]]]:
    from asgiref.sync import sync_to_async

    connection = await sync_to_async(django_connection)(address)
    block = transaction.atomic(using="default")
    await sync_to_async(block.__enter__)()
    try:
        yield django.db.connection, lambda: sync_to_async(_insert)()
    except BaseException as error:
        await sync_to_async(block.__exit__)(type(error), error, None)
        raise
    else:
        await sync_to_async(block.__exit__)(None, None, None)
    finally:
        await sync_to_async(connection.close)()


def _insert() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(INSERT)


ASYNC_WAYS = [by_async_psycopg, by_async_alchemy_connection, by_async_alchemy_session]


@pytest.mark.parametrize("way", ASYNC_WAYS, ids=lambda way: way.__name__)
def test_the_same_from_asyncio(way: Any, address: str, queue: Queue) -> None:
    ship = queue.tasks[next(iter(queue.tasks))]
    before = orders(address)

    async def commit() -> str:
        async with way(address) as (connection, insert):
            await insert()
            handle = await ship.enqueue_async(1, connection=connection)
            assert queue.engine.get(handle.job_id) is None
        return str(handle.job_id)

    async def roll_back() -> str:
        try:
            async with way(address) as (connection, insert):
                await insert()
                handle = await ship.enqueue_async(1, connection=connection)
                raise Rollback
        except Rollback:
            return str(handle.job_id)

    assert queue.engine.get(asyncio.run(commit())) is not None and orders(address) == before + 1
    assert queue.engine.get(asyncio.run(roll_back())) is None and orders(address) == before + 1


def test_django_from_asyncio(address: str, queue: Queue) -> None:
    test_the_same_from_asyncio(by_async_django, address, queue)


def test_ids_and_keys_are_told_in_a_transaction_as_outside(address: str) -> None:
    engine = open_engine(address)
    jobs = [NewJob("t", b"{}", id="mine"), NewJob("t", b"{}", id="mine"), NewJob("t", b"{}", unique="k", delay=60)]
    with psycopg.connect(address) as connection:
        first, again, other = engine.put_on(connection, jobs)
        [later] = engine.put_on(connection, [NewJob("t", b"{}", unique="k")])
    assert (first.enqueued, again.enqueued, other.enqueued, later.enqueued) == (True, False, True, False)
    assert (again.number, again.id, later.id) == (first.number, "mine", other.id)
    assert engine.put_on(None, []) == []
    engine.close()


def test_what_cannot_be_used_is_refused_with_the_call_to_write(address: str, queue: Queue) -> None:
    ship = queue.tasks[next(iter(queue.tasks))]
    with pytest.raises(TypeError, match="must be a connection of psycopg 3"):
        ship.enqueue(1, connection="postgresql://")
    with psycopg.connect(server.admin_url()) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InvalidSchemaName):
            ship.enqueue(1, connection=connection)
    with server.database(server.template()) as other, psycopg.connect(other) as connection:
        with pytest.raises(TypeError, match="connection is to the database"):
            ship.enqueue(1, connection=connection)
        connection.execute("SELECT 1")  # the transaction goes on

    async def wrong_way_round() -> None:
        async with await psycopg.AsyncConnection.connect(address) as connection:
            with pytest.raises(TypeError, match="enqueue_async"):
                ship.enqueue(1, connection=connection)
        with psycopg.connect(address) as blocking, pytest.raises(TypeError, match="would block the event loop"):
            await ship.enqueue_async(1, connection=blocking)

    asyncio.run(wrong_way_round())
    lite = sa.create_engine("sqlite://")
    with lite.connect() as connection, pytest.raises(TypeError, match="is a connection to sqlite"):
        ship.enqueue(1, connection=connection)
    lite.dispose()
