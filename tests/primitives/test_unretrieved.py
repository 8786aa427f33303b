"""Reports of failures that no caller looked at, and what they cost the garbage collector."""

from __future__ import annotations

import gc
import logging
import threading
import types
from queue import SimpleQueue

from steadypool.primitives import unretrieved
from tests.pools.contract.stage import WAIT


def test_it_notes_collections_without_a_line_of_python() -> None:
    """In a callback in Python a Ctrl-C that came during a collection would be lost."""
    failure = unretrieved.Unretrieved("job-1", "sum", ValueError("no"))
    failure.seen = True
    own = [callback for callback in gc.callbacks if callback in unretrieved._NOTE_PHASE]
    assert len(own) == 2 and not any(isinstance(callback, types.FunctionType) for callback in own)


def test_it_knows_whether_a_collection_runs() -> None:
    unretrieved.Unretrieved("job-1", "sum", ValueError("no")).seen = True
    seen: list[bool] = []

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            seen.append(unretrieved._is_collecting())

    for _ in range(3):
        Garbage()
        gc.collect()
        assert not unretrieved._is_collecting()
    assert seen == [True] * 3


class Rows(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.rows: SimpleQueue[tuple[str, int]] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.rows.put((record.getMessage().split()[1], threading.get_ident()))


def test_what_one_collection_frees_is_reported_by_one_thread() -> None:
    handler = Rows()
    logging.getLogger("steadypool").addHandler(handler)
    try:
        for number in range(300):
            cycle: list[object] = [unretrieved.Unretrieved(f"job-{number}", "sum", ValueError("no"))]
            cycle.append(cycle)
        del cycle
        gc.collect()
        rows = [handler.rows.get(timeout=WAIT) for _ in range(300)]
    finally:
        logging.getLogger("steadypool").removeHandler(handler)
    assert {name for name, _ in rows} == {f"job-{number}" for number in range(300)}
    assert threading.get_ident() not in {ident for _, ident in rows}
    assert len({ident for _, ident in rows}) <= 10  # a collection by itself may have come in between


def test_no_report_is_lost_as_the_thread_that_reports_ends() -> None:
    handler = Rows()
    logging.getLogger("steadypool").addHandler(handler)
    rounds, threads = 1000, 4

    def leave(name: str) -> None:
        for number in range(rounds):
            unretrieved._waiting.append((f"{name}-{number}", "sum", ValueError("no")))
            unretrieved._report_elsewhere()

    racers = [threading.Thread(target=leave, args=(f"job-{one}",)) for one in range(threads)]
    try:
        for racer in racers:
            racer.start()
        names = {handler.rows.get(timeout=WAIT)[0] for _ in range(rounds * threads)}
        for racer in racers:
            racer.join(WAIT)
    finally:
        logging.getLogger("steadypool").removeHandler(handler)
    assert len(names) == rounds * threads
