"""A durable queue whose worker is killed with ``kill -9`` half-way, and nothing is lost.

    python examples/demo/durable.py

Each job reads, hashes and parses a source file. The queue is a temporary SQLite file. Another worker takes over, and
at the end the demo says how many jobs ran twice.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from survey import standard_library
from survey_queue import queue, survey

from steadypool import JobState

HERE = Path(__file__).parent
LEASE = 2
LIMIT = 60.0
"""Seconds that any one step may take."""


class Demo:
    """One showing."""

    def __init__(self, workers: int, files: int) -> None:
        library = tuple(standard_library())
        self.workers = workers
        self.files = library[:: max(1, len(library) // files)][:files]
        self.began = time.monotonic()

    def run(self) -> int:
        """Show it; the exit code is 0 if no job was lost."""
        print(f"A durable queue in one SQLite file, {queue.url}\n")
        jobs = queue.enqueue_many(survey, [(path,) for path in self.files])
        self.say(f"{len(jobs)} jobs are enqueued, each a source file to read, hash and parse")
        first = self.start_worker()
        jobs[len(jobs) // 2].record_at_end(LIMIT)
        first.kill()
        first.wait()
        left = queue.stats().queues[0]
        self.say(
            f"half-way: kill -9 to the worker, process {first.pid}. {left.completed + left.discarded} jobs have ended, "
            f"{left.running} were in its hands, {left.available} wait"
        )
        second = self.start_worker("--until-empty")
        self.say(
            f"another worker starts, process {second.pid}; what the dead one held is free when its lease of "
            f"{LEASE} s is over"
        )
        second.wait(LIMIT)
        self.say("it has ended, since nothing is left to do\n")
        return self.account()

    def start_worker(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "steadypool", "work", "survey_queue:queue", "--quiet", "--kind", "process"]
        options = ["--workers", str(self.workers), "--lease", str(LEASE), *more]
        return subprocess.Popen([*command, *options], cwd=HERE, stderr=subprocess.DEVNULL)

    def account(self) -> int:
        records = queue.list(limit=len(self.files))
        states = [record.state for record in records]
        completed, failed = states.count(JobState.COMPLETED), states.count(JobState.DISCARDED)
        lost = len(self.files) - completed - failed
        print(f"enqueued          {len(self.files)}")
        print(f"completed         {completed}")
        print(f"failed            {failed}  (files that are no Python)")
        print(f"lost              {lost}")
        print(f"run again         {sum(record.losses > 0 for record in records)}  (what the dead worker held)")
        return 0 if lost == 0 else 1

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:5.1f} s  {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="processes of each worker (default: 4)")
    parser.add_argument("--files", type=int, default=600, help="how many source files (default: 600)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steadypool-demo-") as folder:
        os.environ["STEADYPOOL_URL"] = f"sqlite:///{Path(folder) / 'jobs.db'}"
        with queue:
            return Demo(options.workers, options.files).run()


if __name__ == "__main__":
    sys.exit(main())
