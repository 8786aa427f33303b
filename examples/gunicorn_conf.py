"""Has each worker of gunicorn drain its pool: from SIGTERM on, jobs have less time than gunicorn gives the worker."""

import signal
from types import FrameType

bind = "127.0.0.1:8000"
workers = 2
threads = 8
graceful_timeout = 30


def post_worker_init(worker: object) -> None:
    from flask_service import pool

    stop = signal.getsignal(signal.SIGTERM)  # gunicorn's own

    def drain(number: int, frame: FrameType | None) -> None:
        pool.request_drain(timeout=20)
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server: object, worker: object) -> None:
    from flask_service import pool

    print(pool.drain(timeout=1), flush=True)
