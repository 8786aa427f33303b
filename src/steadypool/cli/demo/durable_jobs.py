"""The queue of ``steadypool demo --durable``. Its address is in the environment of the processes that the demo
starts."""

from __future__ import annotations

import warnings

from steadypool.cli.demo.jobs import SourceFacts, survey_file
from steadypool.durable.client.queue import Queue

queue = Queue()


@queue.task(name="survey")
def survey(path: str) -> SourceFacts:
    """Read, hash and parse one file; one that is no Python is a failure."""
    with warnings.catch_warnings(action="ignore"):
        return survey_file(path)
