"""Databases that are not in UTF-8, and clients that are told of another encoding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from steadypool import Queue
from steadypool.durable.engine.errors import EngineError, EngineRefused, JobDiscarded
from tests.durable.engine.postgres import server
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

WORDS = 'Größe 日本語 \x01 \\ " €'


@contextmanager
def database_in(encoding: str) -> Iterator[str]:
    name = f"encoded_{encoding.lower()}"
    how = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with psycopg.connect(server.admin_url(), autocommit=True, client_encoding="utf8") as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        admin.execute(f"CREATE DATABASE {name} {how}".encode())
        yield server.in_database(server.admin_url(), name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=["UTF8", "SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"])
def encoded(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with database_in(request.param) as url:
        yield request.param, url


@pytest.mark.parametrize("client", [None, "SQL_ASCII"])
def test_a_queue_in_any_encoding(encoded: tuple[str, str], client: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if client is not None:
        monkeypatch.setenv("PGCLIENTENCODING", client)
    encoding, url = encoded
    with Queue(url) as queue:
        queue.engine.migrate()

        @queue.task(name="echo")
        def echo(text: str) -> str:
            return text

        @queue.task(name="fail")
        def fail(text: str) -> None:
            raise ValueError(text)

        with psycopg.connect(url) as connection:
            theirs = echo.options(id="theirs").enqueue(WORDS, connection=connection)
            taken = echo.options(id="theirs").enqueue(WORDS, connection=connection)
        assert (theirs.enqueued, taken.enqueued, taken.job_id) == (True, False, "theirs")
        with Working(queue):
            assert echo.enqueue(WORDS).result(WAIT) == theirs.result(WAIT) == WORDS
            with pytest.raises(JobDiscarded):
                (failed := fail.enqueue(WORDS)).result(WAIT)
        [error] = failed.errors
        if encoding in ("UTF8", "SQL_ASCII"):
            assert error.message == WORDS
        assert error.message.startswith("Gr") and "ValueError" in error.traceback
        assert json.loads(failed.record().payload or b"") and queue.stats().queues[0].name == "default"
        assert {record.task for record in queue.list()} == {"echo", "fail"}


def test_an_id_that_the_database_has_no_letters_for(encoded: tuple[str, str]) -> None:
    encoding, url = encoded
    with Queue(url) as queue:
        queue.engine.migrate()

        @queue.task(name="ok")
        def ok() -> None: ...

        if encoding in ("UTF8", "SQL_ASCII", "EUC_JP"):
            ok.options(id="日本語").enqueue()
            assert queue.get("日本語").job_id == "日本語"
        else:
            with pytest.raises(EngineRefused, match="has no equivalent in encoding"):
                ok.options(id="日本語").enqueue()
            assert queue.list() == []


def test_one_that_unicode_cannot_be_converted_to_says_so() -> None:
    with database_in("MULE_INTERNAL") as url, Queue(url) as queue:
        with pytest.raises(EngineError, match="conversion between UTF8 and MULE_INTERNAL is not supported"):
            queue.engine.migrate()
