"""The queue of the durable demo. Its address is in the environment of the processes that the demo starts."""

import warnings

from survey import SourceFacts, survey_file

from steadypool import Queue

queue = Queue()


@queue.task(name="survey")
def survey(path: str) -> SourceFacts:
    """Read, hash and parse one file; one that is no Python is a failure."""
    with warnings.catch_warnings(action="ignore"):
        return survey_file(path)
