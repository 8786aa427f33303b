"""What a worker process has in its hand is asked without a lock, while other threads empty the hand."""

from __future__ import annotations

import threading

import pytest

from steadypool import ProcessPool
from steadypool.pools.processes.worker import ProcessWorker
from tests.patience import WAIT

pytestmark = pytest.mark.usefixtures("switching")
QUESTIONS = 3000


def test_a_hand_that_is_emptied_meanwhile() -> None:
    with ProcessPool(1) as pool:
        job = pool.submit(abs, -1)
        job.result(WAIT)
    worker = ProcessWorker("worker", packets=True)
    asked = threading.Event()

    def fill_and_empty() -> None:
        while not asked.is_set():
            worker.hand.append(job)
            worker.hand.popleft()

    other = threading.Thread(target=fill_and_empty)
    other.start()
    try:
        for _ in range(QUESTIONS):
            ##assert worker.first() in (job, None)
            assert worker.running() in ((job,), ())
            assert not any(worker.has_more() for _ in range(100))
            assert worker.next_serial() in (job._serial, None)
            assert worker.has_unread() in (True, False)
            assert worker.row().job_id in (job.job_id, None)
    finally:
        asked.set()
        other.join()
        worker.close()
