"""The page that a worker shares with its parent."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import threading

import pytest

from steadypool.pools.processes.ipc.status_page import CAUSES, LOG_FORMAT, LOG_SIZE, NONE, Page, make_page
from tests.patience import WAIT


def two_ends() -> tuple[Page, Page]:
    """The parent's and the worker's, over the same memory."""
    parent, fd = make_page()
    try:
        return parent, Page(fd)
    finally:
        os.close(fd)


def test_a_new_page_says_nothing() -> None:
    parent, worker = two_ends()
    assert parent.running() == NONE and worker.told(1) is None


def test_the_worker_says_what_it_runs_and_since_when() -> None:
    parent, worker = two_ends()
    worker.begin(7, 12.5)
    assert (parent.running(), parent.began()) == (7, 12.5)
    worker.begin(NONE, 13.0)
    assert (parent.running(), parent.began()) == (NONE, 13.0)


@pytest.mark.parametrize("cause", CAUSES[1:])
def test_the_parent_says_which_job_is_to_stop(cause: str) -> None:
    parent, worker = two_ends()
    parent.tell(7, cause)
    assert worker.told(7) == cause
    assert worker.told(8) is None  # the next one, or a retry of the same job, is not meant


def test_a_cause_that_does_not_exist_changes_nothing() -> None:
    parent, worker = two_ends()
    with pytest.raises(ValueError):
        parent.tell(7, "weather")
    assert worker.told(7) is None


def test_the_parent_says_which_jobs_must_not_begin() -> None:
    parent, worker = two_ends()
    assert not worker.is_withheld(0) and not worker.is_withheld(7)
    parent.withhold(7, 9)
    assert [worker.is_withheld(serial) for serial in range(6, 11)] == [False, True, True, False, False]


def test_the_largest_serial() -> None:
    parent, worker = two_ends()
    worker.begin(2**64 - 1, 1.0)
    parent.tell(2**64 - 1, "timeout")
    assert parent.running() == 2**64 - 1 and worker.told(2**64 - 1) == "timeout"


CHILD = "import sys; from steadypool.pools.processes.ipc.status_page import Page; Page(int(sys.argv[1])).begin(42, 1.5)"


def test_the_memory_is_shared_with_another_process() -> None:
    parent, fd = make_page()
    try:
        subprocess.run([sys.executable, "-c", CHILD, str(fd)], pass_fds=[fd], check=True, timeout=WAIT)
    finally:
        os.close(fd)
    assert (parent.running(), parent.began()) == (42, 1.5)


def test_whoever_reads_meanwhile_never_sees_a_serial_that_was_not_written() -> None:
    parent, worker = two_ends()
    seen: set[int] = set()
    end = threading.Event()

    def read() -> None:
        while not end.is_set():
            seen.add(parent.running())

    thread = threading.Thread(target=read)
    thread.start()
    written = [(n << 32) | n for n in range(1, 20_000)]
    for serial in written:
        worker.begin(serial, 0.0)
    end.set()
    thread.join(WAIT)
    assert seen <= {NONE, *written}
    worker.close(), parent.close()


def write(worker: Page, *values: object) -> None:
    """What a worker does for each outcome."""
    for value in values:
        worker.serials[LOG_SIZE] += worker.write(marshal.dumps(value, LOG_FORMAT))


OUTCOMES = [None, -1, 1.5, True, "text", "text", b"bytes", ("a", (), 3), ["a pickle"], 10**30]


def test_outcomes_are_read_as_they_are_written() -> None:
    parent, worker = two_ends()
    worker.open_log(7)
    assert parent.outcomes(7) == []
    for serial, value in enumerate(OUTCOMES, 7):
        write(worker, value)
        assert parent.outcomes(serial) == [value]
        assert parent.outcomes(serial) == [], "each once"


def test_outcomes_are_read_from_the_one_that_is_expected_on() -> None:
    parent, worker = two_ends()
    worker.open_log(7)
    write(worker, *OUTCOMES)
    assert parent.outcomes(6) == [], "one before has not come"
    assert parent.outcomes(9) == OUTCOMES[2:]


def test_a_new_log_begins_at_the_beginning() -> None:
    parent, worker = two_ends()
    for serial in (7, 70):
        worker.open_log(serial)
        assert (parent.log_of(), parent.outcomes(serial)) == (serial, [])
        write(worker, serial, serial)
        assert parent.outcomes(serial) == [serial, serial]


def test_a_log_leaves_as_a_list() -> None:
    _parent, worker = two_ends()
    worker.open_log(7)
    write(worker, *OUTCOMES)
    assert marshal.loads(worker.log_as_list(len(OUTCOMES), worker.serials[LOG_SIZE])) == OUTCOMES


def test_no_mixture_of_two_logs_is_read() -> None:
    parent, worker = two_ends()
    end = threading.Event()
    seen: list[tuple[int, object]] = []

    def read() -> None:
        while not end.is_set():
            first = parent.log_of()
            seen.extend((first, value) for value in parent.outcomes(first))

    thread = threading.Thread(target=read)
    thread.start()
    for serial in range(1, 5000):
        worker.open_log(serial)
        write(worker, *[serial] * (serial % 7))
    end.set()
    thread.join(WAIT)
    assert all(value == serial for serial, value in seen)


def test_a_page_that_is_closed_still_says_what_it_said_last() -> None:
    parent, worker = two_ends()
    worker.begin(7, 12.5)
    parent.close()
    assert (parent.running(), parent.began()) == (7, 12.5)
    worker.open_log(7)
    write(worker, 1)
    assert parent.outcomes(7) == []
    parent.tell(7, "timeout")  # reaches nobody, and does no harm


def test_a_page_may_be_closed_while_another_thread_looks() -> None:
    for _ in range(1000):
        parent, _worker = two_ends()
        started, faults = threading.Barrier(2), list[BaseException]()

        def look(page: Page, started: threading.Barrier, faults: list[BaseException]) -> None:
            started.wait()
            try:
                for _ in range(20):
                    page.running(), page.began(), page.withhold(1, 2)
            except BaseException as error:
                faults.append(error)

        thread = threading.Thread(target=look, args=(parent, started, faults))
        thread.start()
        started.wait()
        parent.close()
        thread.join(WAIT)
        assert not faults
