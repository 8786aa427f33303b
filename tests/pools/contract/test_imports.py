"""Importing the package is light."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.pools.contract import jobs
from tests.pools.contract.program import ROOT
from tests.pools.contract.stage import WAIT

HEAVY = {"asyncio", "click", "rich", "psutil", "cloudpickle", "numpy", "multiprocessing", "sqlite3", "email", "ssl"}

UNASKED = {
    *("difflib", "importlib.util", "numbers"),
    *(
        f"steadypool.{name}"
        for name in ("model.events", "model.health", "model.reports", "pools.inspect.dump_on_signal")
    ),
}
"""What is imported when it is first needed."""


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, steadypool; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=True
    )
    loaded = set(done.stdout.split())
    assert HEAVY & loaded == set()
    assert UNASKED & loaded == set()


def test_public_names() -> None:
    import steadypool

    for name in steadypool.__all__:
        public: Any = getattr(steadypool, name)
        if isinstance(public, type):
            assert public.__module__ == "steadypool"
            assert public.__doc__


@pytest.mark.parametrize("name", ["JobTimeout", "JobCancelled", "JobExit", "WorkerCrashed", "RemoteError", "QueueFull"])
def test_errors_pickle_with_their_facts(name: str) -> None:
    import pickle

    import steadypool

    error = getattr(steadypool, name)("the message")
    for fact in vars(error):
        setattr(error, fact, f"a {fact}")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
    assert isinstance(again, steadypool.SteadypoolError)
    assert jobs.same(again) is again
