"""The pytest plugin, in a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.testing.test_page import PLUGIN

TESTS = """
import os
import threading
import time
import pytest
from steadypool import Queue, ThreadPool

queue = Queue("sqlite:////nowhere/jobs.db")
release = threading.Event()
remembered = []

@queue.task
def add(one: int, two: int) -> int:
    return one + two

@queue.task
def fail() -> None:
    raise KeyError("the job's own")

@pytest.mark.usefixtures("drained_pools")
class TestPools:
    def test_in_order(self):
        with ThreadPool(1) as pool:
            assert pool.submit(len, "x").result() == 1

    def test_left_open(self):
        ThreadPool(1, name="mails").submit(len, "x").result()

    def test_fails(self):
        pool = ThreadPool(1, name="orders", cancel_grace=0.05)
        pool.submit(release.wait)
        assert pool.stats().accepted == 2

    def test_skips(self):
        pytest.skip("not here")

@pytest.fixture(autouse=True, scope="session")
def released():
    yield
    release.set()

def test_runs(jobs):
    add.enqueue(1, 2)
    assert jobs.run().completed == 1

def test_its_own_error(jobs):
    fail.enqueue()
    jobs.run()

def test_a_job_that_is_not_there(jobs):
    add.enqueue(1, 2)
    jobs.assert_enqueued(add, two=3)

@pytest.mark.steadypool(url=os.environ["DATABASE"])
class TestOnPostgres:
    @pytest.mark.parametrize("part", [1, 2])
    def test_it_is_empty_at_first_and_by_the_true_clock(self, jobs, part):
        assert jobs.all() == [] and abs(jobs.now().timestamp() - time.time()) < 60
        add.enqueue(1, part)
        jobs.advance(days=1)
        assert jobs.url.startswith("postgresql://") and jobs.run().completed == 1

def test_no_file_is_left(jobs, tmp_path):
    handle = add.enqueue(1, 2)
    with pytest.raises(TimeoutError):
        handle.result(0.01)
    jobs.run()
    remembered.append(tmp_path)

def test_no_file_was_left():
    assert [list(path.iterdir()) for path in remembered] == [[]]

@pytest.mark.steadypool("postgresql://localhost/test")
def test_a_marker_that_is_wrong(jobs): ...

@pytest.mark.parametrize("part", [1, 2])
def test_a_queue_is_restored(part):
    assert queue.url == "sqlite:////nowhere/jobs.db"
"""


def test_a_run(tmp_path: Path, database: str) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", PLUGIN, "--strict-markers", "-rA"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200", "DATABASE": database},
    )
    said = done.stdout
    assert "3 failed, 9 passed, 1 skipped, 2 errors" in said, said + done.stderr
    assert "ERROR test_it.py::TestPools::test_left_open - AssertionError: pools were left" in said
    assert "was left open: pool 'mails' closed" in said
    assert "was left open: pool 'orders' closed" in said and done.stderr == ""
    assert 'FAILED test_it.py::test_its_own_error - KeyError: "the job\'s own"' in said
    assert "\ntest_it.py:18: KeyError" in said and "caller_worker.py" not in said
    assert "two is 2, not 3" in said
    with psycopg.connect(database) as connection:
        asked = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'steadypool_test%'"
        assert connection.execute(asked).fetchall() == []
    assert "the marker is written @pytest.mark.steadypool(url=" in said


def test_it_costs_nothing_unless_a_fixture_is_used() -> None:
    program = f"import pytest, sys; had = set(sys.modules); import {PLUGIN}; print(*sorted(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [
        "steadypool", "steadypool.model", "steadypool.model.lazy_module", "steadypool.testing", PLUGIN
    ]  # fmt: skip
