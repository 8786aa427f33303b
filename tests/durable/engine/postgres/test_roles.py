"""Every call that the docs promise to a role works for it, by `Queue`, its handles and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from steadypool import JobState, Queue, UnknownJob
from steadypool.durable.client.task import DurableTask
from steadypool.durable.engine.errors import EngineError
from steadypool.durable.engine.postgres.schema import roles_sql
from steadypool.durable.engine.url import parse_postgres
from tests.durable.engine.postgres.server import in_database
from tests.durable.programs import ROOT
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT


@pytest.fixture
def url_of(address: str) -> Callable[[str], str]:
    name = str(conninfo_to_dict(address)["dbname"])
    return lambda role: in_database(address, name, f"some_{role}")


@pytest.fixture
def queue_of(url_of: Callable[[str], str]) -> Iterator[Callable[[str], Queue]]:
    opened: list[Queue] = []

    def make(role: str) -> Queue:
        opened.append(Queue(url_of(role)))
        return opened[-1]

    yield make
    for queue in opened:
        queue.close()


def task_of(queue: Queue) -> DurableTask[[int], int]:
    @queue.task(name="double")
    def double(number: int) -> int:
        return 2 * number

    return double


def run(*words: str, url: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "STEADYPOOL_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "steadypool", *words], capture_output=True, text=True, cwd=ROOT, env=env, check=False
    )


def test_an_enqueuer(queue_of: Callable[[str], Queue], url_of: Callable[[str], str], address: str) -> None:
    queue = queue_of("enqueuer")
    double = task_of(queue)
    job = double.options(priority=3, unique="key").enqueue(1)
    assert not double.options(unique="key").enqueue(1).enqueued
    many = queue.enqueue_many(double, [(number,) for number in range(3)])
    chosen = double.options(id="chosen", delay=60).enqueue(1)
    with psycopg.connect(url_of("enqueuer")) as connection:
        theirs = double.enqueue(1, connection=connection)
    queue.wake()
    assert job.cancel() and theirs.cancel() and not job.cancel()
    assert queue.cancel(many[0].job_id) and queue.cancel("chosen") and not queue.cancel("chosen")
    assert queue.request_cancel(many[1].job_id) is JobState.AVAILABLE
    with pytest.raises(UnknownJob):
        queue.cancel("nobody")
    with pytest.raises(UnknownJob):
        queue.cancel("job-999")
    for refused in (chosen.record, queue.list, queue.stats, lambda: queue.retry("chosen"), queue.pause):
        with pytest.raises(EngineError, match="permission denied"):
            refused()
    with Queue(address) as owner:
        states = [owner.record(handle.job_id).state for handle in (job, *many, chosen, theirs)]
    assert states.count(JobState.CANCELLED) == 5 and states[3] is JobState.AVAILABLE


def test_an_enqueuer_on_the_command_line(queue_of: Callable[[str], Queue], url_of: Callable[[str], str]) -> None:
    url = url_of("enqueuer")
    put = run("enqueue", "tests.durable.app:add", "[1]", url=url)
    assert put.returncode == 0, put.stderr
    cancelled = run("jobs", "cancel", put.stdout.strip(), url=url)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"{put.stdout.strip()} cancelled\n"), cancelled.stderr


def test_what_an_enqueuer_may_call_tells_nothing_of_a_job(url_of: Callable[[str], str], address: str) -> None:
    with Queue(address) as owner:
        record = task_of(owner).enqueue(123).record()
    with psycopg.connect(url_of("enqueuer"), autocommit=True) as connection:
        told = connection.execute("SELECT steadypool.cancel(%s, NULL)", [record.number]).fetchall()
    assert told == [("available",)]


def test_a_worker(queue_of: Callable[[str], Queue], url_of: Callable[[str], str]) -> None:
    queue = queue_of("worker")
    double = task_of(queue)
    with Working(queue):
        assert double.enqueue(21).result(WAIT) == 42
    late, other = double.options(delay=60).enqueue(1), double.options(delay=60).enqueue(2)
    queue.retry(late.job_id)
    queue.discard(other.job_id)
    queue.retry(other.job_id)
    assert queue.cancel(late.job_id) and other.cancel()
    queue.pause()
    queue.resume()
    queue.wake()
    assert len(queue.list()) == 3 and queue.stats().queues and queue.get(late.job_id).outcome is not None
    for words in (("list",), ("stats",), ("show", late.job_id), ("retry", late.job_id), ("pause",), ("resume",)):
        done = run("jobs", *words, url=url_of("worker"))
        assert done.returncode == 0, (words, done.stderr)
    assert run("jobs", "cancel", late.job_id, url=url_of("worker")).returncode == 0
    assert run("migrate", "--check", url=url_of("worker")).returncode == 0


def test_a_reader(queue_of: Callable[[str], Queue], url_of: Callable[[str], str], address: str) -> None:
    with Queue(address) as owner:
        made = task_of(owner).options(id="chosen").enqueue(21)
        reading = queue_of("reader")
        handle = reading.get("chosen")
        assert handle.state is JobState.AVAILABLE and reading.record("chosen").number == made.record().number
        with Working(owner):
            assert handle.result(WAIT) == 42
        assert reading.list() and reading.stats().queues
        for words in (("list",), ("stats",), ("show", "chosen")):
            done = run("jobs", *words, url=url_of("reader"))
            assert done.returncode == 0, (words, done.stderr)
        for refused in (lambda: reading.cancel("chosen"), lambda: reading.retry("chosen"), reading.pause):
            with pytest.raises(EngineError, match="permission denied"):
                refused()


def test_the_command_prints_the_sql_of_the_roles(address: str) -> None:
    printed = run("migrate", "--roles", url=address)
    schema = parse_postgres(address).schema
    assert (printed.returncode, printed.stdout, printed.stderr) == (0, roles_sql(schema), "")
    assert f"{schema}.grant_roles()" in printed.stdout
    own_schema = run("migrate", "--roles", url="postgresql:///shop?schema=jobs")
    assert "jobs.grant_roles()" in own_schema.stdout


def test_a_file_has_no_roles() -> None:
    refused = run("migrate", "--roles", url="sqlite:///jobs.db")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "only a queue on postgresql:// has roles, not sqlite:///" in " ".join(refused.stderr.split())
