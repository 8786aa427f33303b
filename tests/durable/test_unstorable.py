"""What a store cannot keep is the matter of the job that brought it, and of no other."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from steadypool import JobState, Queue, UnknownJob
from steadypool.durable.engine.errors import EngineRefused, JobDiscarded
from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.texts import LONGEST_MESSAGE, LONGEST_TRACEBACK
from tests.durable import app
from tests.durable.engines import file_of
from tests.durable.programs import start_worker
from tests.durable.working import Working
from tests.pools.contract.stage import WAIT

HALF = "caf\udce9.txt"


class Loud(Exception):
    def __str__(self) -> str:
        raise SystemExit("not your text")


class Odd(str):
    """A text with methods of its own."""

    def __getitem__(self, key: object) -> str:
        raise ValueError("do not cut me")

    def encode(self, *_: object, **__: object) -> bytes:
        raise ValueError("do not encode me")


class Subclassed(Exception):
    def __str__(self) -> str:
        return Odd("odd\0")


class Strange(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


class Silent(Exception):
    def __str__(self) -> str:
        threading.Event().wait()
        return "never"


def noted() -> Exception:
    error = ValueError("noted")
    error.add_note(f"{HALF}\0")
    return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "half of a pair": lambda: ValueError(HALF),
    "character 0": lambda: ValueError("a\0b"),
    "other letters": lambda: ValueError("日本語"),
    "enormous": lambda: ValueError("x" * 3_000_000),
    "enormous name": lambda: type("E" * 1_000_000, (Exception,), {})("named"),
    "name of half a pair": lambda: type("E", (Exception,), {"__module__": HALF})("named"),
    "module that is no text": lambda: type("E", (Exception,), {"__module__": 5})("named"),
    "raises an exit": lambda: Loud(),
    "text of a class of its own": lambda: Subclassed(),
    "text that is none": lambda: Strange(),
    "text that never comes": lambda: Silent(),
    "notes": noted,
    "group": lambda: ExceptionGroup(HALF, [ValueError(HALF)]),
    "syntax": lambda: SyntaxError("bad", ("f\0", "x", 1, b"y")),  # type: ignore[arg-type]
}


HANGS = list(ERRORS).index("text that never comes")


@pytest.fixture
def own(url: str) -> Iterator[Queue]:
    with Queue(url) as queue:
        queue.engine.migrate()
        yield queue


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process", "async"])
def test_an_error_s_text_fails_its_own_job_alone(own: Queue, kind: str) -> None:
    def make(name: str) -> Callable[[], int]:
        raises = ERRORS[name]

        def bad() -> int:
            raise raises()

        async def bad_async() -> int:
            raise raises()

        return bad_async if kind == "async" else bad  # type: ignore[return-value]

    async def good_async(n: int) -> int:
        return n

    def good(n: int) -> int:
        return n

    beside = own.task(name="good")(good_async if kind == "async" else good)
    handles = {}
    fine = []
    for place, name in enumerate(ERRORS):
        if kind == "process" and place == HANGS:
            continue  # the process waits for it, as for a job that hangs: until its time limit
        handles[name] = own.task(name=f"bad-{place}")(make(name)).enqueue()
        fine.append(beside.enqueue(place))
    with Working(own, kind=kind, workers=2):
        assert [handle.result(WAIT) for handle in fine] == [
            number for number, _ in enumerate(ERRORS) if len(fine) == len(ERRORS) or number != HANGS
        ]
        for name, handle in handles.items():
            with pytest.raises(JobDiscarded):
                handle.result(WAIT)
            [error] = handle.errors
            assert error.type_name and error.message and error.traceback, name
            assert len(error.message) <= 6 * LONGEST_MESSAGE and len(error.traceback) <= 6 * LONGEST_TRACEBACK, name
    [error] = handles["half of a pair"].errors
    assert "caf" in error.message and "udce9" in error.message


@pytest.fixture
def refusing(own: Queue) -> Queue:
    """A store that refuses one result and one error's message."""
    if own.url.startswith("sqlite"):
        rule = "BEGIN SELECT RAISE(ABORT, 'not this'); END"
        with closing(sqlite3.connect(file_of(own.url))) as file:
            file.execute(
                f"CREATE TRIGGER a BEFORE INSERT ON history WHEN new.result = CAST('\"refused\"' AS BLOB) {rule}"
            )
            file.execute(f"CREATE TRIGGER b BEFORE INSERT ON errors WHEN new.message LIKE 'refused%' {rule}")
            file.commit()
    else:
        with psycopg.connect(own.url, autocommit=True) as connection:
            connection.execute(
                "ALTER TABLE steadypool.history ADD CHECK (result IS DISTINCT FROM '\"refused\"'::bytea)"
            )
            connection.execute("ALTER TABLE steadypool.errors ADD CHECK (message NOT LIKE 'refused%')")
    return own


@pytest.mark.every_engine
def test_what_the_store_refuses_is_written_without_it_and_the_others_as_they_are(refusing: Queue) -> None:
    @refusing.task(name="echo")
    def echo(text: str) -> str:
        return text

    @refusing.task(name="fail")
    def fail(text: str) -> str:
        raise ValueError(text)

    returned = [echo.enqueue(text) for text in ["a", "refused", "b", "c", "refused", "d"]]
    failed = [fail.enqueue(text) for text in ["no", "refused", "also no"]]
    with Working(refusing, workers=4) as working:
        for handle in (*returned, *failed):
            handle._wait(WAIT)
        assert echo.enqueue("claimed after that").result(WAIT) == "claimed after that"
    assert [handle.state for handle in returned].count(JobState.COMPLETED) == 4
    for handle in (returned[1], returned[4]):
        record = handle.record()
        assert record.state is JobState.DISCARDED and "its result cannot be written" in record.reason
        assert "cannot keep this" in record.errors[0].message and record.errors[0].attempt == 1
    assert [handle.errors[0].message for handle in failed if handle is not failed[1]] == ["no", "also no"]
    assert "cannot be written as it was" in failed[1].errors[0].message
    assert not working.all("EngineFailed")


@pytest.mark.every_engine
def test_a_row_that_is_no_call_fails_alone(own: Queue) -> None:
    @own.task(name="ok")
    def ok(n: int) -> int:
        return n

    placed = own.engine.put_many(
        [
            NewJob("ok", b"\xff\xfe"),
            NewJob("ok", b'{"a":[1]}', options=b"no JSON"),
            NewJob("ok", b'{"a":[1]}', options=b'{"timeout":"long"}'),
        ]
    )
    good = ok.enqueue(1)
    with Working(own):
        assert good.result(WAIT) == 1
        for handle in (own.get(one.id) for one in placed):
            with pytest.raises(JobDiscarded, match="cannot be read"):
                handle.result(WAIT)
        assert ok.enqueue(2).result(WAIT) == 2


@pytest.mark.every_engine
@pytest.mark.parametrize("text", [HALF, "a\0b", "x" * 3000], ids=["half of a pair", "character 0", "long"])
def test_what_something_is_found_by_is_refused_at_once(own: Queue, text: str) -> None:
    @own.task(name="ok")
    def ok() -> None: ...

    for option in ("id", "unique", "queue"):
        with pytest.raises(ValueError, match="every store can keep"):
            ok.options(**{option: text}).enqueue()
    with pytest.raises(ValueError, match="every store can keep"):
        own.task(name=text)(lambda: None)
    with pytest.raises(ValueError, match="every store can keep"):
        own.work(name=text)
    with pytest.raises(ValueError, match="every store can keep"):
        own.pause(text)
    with pytest.raises(UnknownJob):
        own.get(text)
    assert own.list(limit=5) == []


@pytest.mark.every_engine
def test_a_text_that_only_explains_is_rewritten(own: Queue) -> None:
    @own.task(name="ok")
    def ok() -> None: ...

    handle = ok.enqueue()
    own.discard(handle.job_id, f"{HALF}\0" + "x" * 5000)
    assert handle.record().reason.startswith("caf\\udce9.txt\\x00xxx")


def test_a_look_for_what_no_store_has_says_so(own: Queue) -> None:
    with pytest.raises(EngineRefused):
        own.list(queue=HALF)


@pytest.mark.every_engine
@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("format", ["text", "json"])
def test_an_error_whose_own_code_would_end_the_program(queue: Queue, kind: str, format: str) -> None:
    """The record, the log and the rule for retries all run it."""
    guilty = [app.raises_what_ends_programs.enqueue(), app.is_retried_by_what_ends_programs.enqueue()]
    innocent = app.add.enqueue(1, 2)
    worker = start_worker("--kind", kind, "--workers", "1", "--until-empty", "--log-format", format)
    assert worker.end() == 0, "".join(worker.said)
    assert [handle.state for handle in guilty] == [JobState.DISCARDED] * 2
    assert innocent.state is JobState.COMPLETED
