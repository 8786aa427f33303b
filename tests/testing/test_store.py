"""The store of a test: real, fresh, and gone afterwards, with all that was opened for it."""

from __future__ import annotations

import gc
import os
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from steadypool import Queue, SchemaMismatch
from steadypool.testing import Jobs, job_store
from tests.testing import shop

OWN = "sqlite:////nowhere/at/all/jobs.db"


def opened() -> set[object]:
    """Threads, files and child processes of this process."""
    me = psutil.Process()
    return {*threading.enumerate(), *(file.path for file in me.open_files()), *me.children()}


def left_since(before: set[object]) -> set[object]:
    """What is there, and was not then, once what is about to end has had the time for it."""
    for _ in range(1000):
        gc.collect()
        left = opened() - before
        if not left:
            break
        threading.Event().wait(0.01)
    return left


class TestShop(unittest.TestCase):
    """As users of unittest write it."""

    def setUp(self) -> None:
        store = job_store(shop.queue)
        self.jobs = store.__enter__()  # enterContext(store)
        self.addCleanup(store.__exit__, None, None, None)

    def test_each_test_has_an_empty_store(self) -> None:
        assert self.jobs.all() == []
        shop.welcome.enqueue(7)
        self.jobs.assert_enqueued(shop.welcome, 7)
        self.jobs.run()

    test_each_test_has_an_empty_store_again = test_each_test_has_an_empty_store


def test_a_queue_that_the_environment_leads_there_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", f"sqlite:///{tmp_path}/own.db")
    other = Queue()
    with job_store(shop.queue) as jobs:
        shop.welcome.enqueue(7)
        assert len(other.list()) == len(jobs.all()) == 1
    other.engine.migrate()
    assert other.list() == []
    other.close()


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", "sqlite:///before.db")
    before = opened()
    with job_store(shop.queue) as jobs:
        shop.sign_up.enqueue(1)
        shop.fetch.enqueue("x")
        assert os.environ["STEADYPOOL_URL"] == shop.queue.url == jobs.url != OWN
        assert jobs.run().completed == 2
    assert shop.queue.url == OWN and os.environ["STEADYPOOL_URL"] == "sqlite:///before.db"
    assert left_since(before) == set()
    assert not Path(jobs.url.removeprefix("sqlite:///").partition("?")[0]).parent.exists()


def test_nor_by_a_test_that_fails_midway() -> None:
    before = opened()
    with pytest.raises(shop.Refused), job_store(shop.queue) as jobs:
        shop.charge.enqueue(1)
        shop.welcome.enqueue(1)
        jobs.run()
    assert shop.queue.url == OWN and left_since(before) == set()


def test_what_a_queue_has_open_elsewhere_stays_open(tmp_path: Path) -> None:
    queue = Queue(f"sqlite:///{tmp_path}/real.db")
    task = queue.task(print, name="shop.print")
    task.enqueue()
    engine = queue.engine
    with job_store(queue) as jobs:
        task.enqueue()
        assert queue.engine is not engine and len(jobs.enqueued(task)) == 1
        queue.use_address(f"sqlite:///{tmp_path}/real.db")  # as its program does when it starts
    assert queue.engine is engine and queue.stats().queues[0].available == 1
    queue.close()


def test_all_queues_go_there_and_those_that_are_made_meanwhile() -> None:
    before = Queue("sqlite:////nowhere/before.db")
    with job_store() as jobs:
        meanwhile = Queue("sqlite:////nowhere/meanwhile.db", lifespan=resources)
        hello = meanwhile.task(lambda: None, name="shop.hello")
        hello.enqueue()
        jobs.assert_enqueued(hello)
        assert before.url == meanwhile.url == jobs.url
        assert jobs.run().completed == 1
    assert before.url.endswith("before.db") and meanwhile.url.endswith("meanwhile.db")


def test_those_that_are_not_named_stay_where_they_are(tmp_path: Path) -> None:
    other = Queue(f"sqlite:///{tmp_path}/other.db")
    with job_store(shop.queue):
        assert other.url.endswith("other.db")
        with pytest.raises(SchemaMismatch):
            other.stats()
        with pytest.raises(RuntimeError, match="one at a time"), job_store():
            pass


def test_bad_input_is_refused() -> None:
    with pytest.raises(TypeError, match="takes queues"), job_store("sqlite:///x.db"):  # type: ignore[arg-type]
        pass
    with pytest.raises(ValueError, match="database of PostgreSQL"), job_store(url="sqlite:///x.db"):
        pass


def test_a_schema_of_postgresql_is_made_and_dropped(database: str) -> None:
    import psycopg

    asked = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'steadypool_test%'"
    with psycopg.connect(database, autocommit=True) as connection:
        before = connection.execute(asked).fetchall()
        with job_store(shop.queue, url=database) as jobs:
            assert jobs.perform(shop.welcome, 1) == "welcome 1"
            assert connection.execute(asked).fetchall() == [(before[0][0] + 1,)]
        assert connection.execute(asked).fetchall() == before


# -- what jobs need


@contextmanager
def resources() -> Iterator[str]:
    shop.seen.append("entered")
    yield "resources"
    shop.seen.append("left")


def test_a_lifespan_is_entered_for_each_run(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.queue, "lifespan", resources)
    shop.welcome.enqueue(1)
    shop.welcome.enqueue(2)
    jobs.run()
    assert shop.seen == ["entered", (1, "en"), (2, "en"), "left"]
