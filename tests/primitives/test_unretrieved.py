"""Reports of failures that no caller looked at, and what they cost the garbage collector."""

from __future__ import annotations

import gc
import types

from steadypool.primitives import unretrieved


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
