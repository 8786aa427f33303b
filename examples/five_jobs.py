"""Three workers, five jobs of half a second each, and a shutdown that waits for them, but never longer than 10 s.

python examples/five_jobs.py
"""

import threading
import time

from steadypool import ThreadPool


def job(number: int) -> None:
    say(f"started job {number}")
    time.sleep(0.5)
    say(f"finished job {number}")


def say(what: str) -> None:
    # One write for the whole line: `print` would write its end separately, and lines of two workers could mix.
    print(f"{threading.current_thread().name} {what}\n", end="", flush=True)


if __name__ == "__main__":
    pool = ThreadPool(3, thread_name_prefix="worker")
    for number in range(1, 6):
        pool.submit(job, number)
    print(pool.drain(timeout=10))
    print("shutdown complete")
