"""The public module of the events names every one, wherever it is defined, and loads it when it is first asked for."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import get_type_hints

import pytest

import steadypool.events
from steadypool.durable.worker import events as durable_events
from steadypool.events import Event, JobEvent, JobSubmitted
from steadypool.model import events as pool_events

DEFINED = {
    name: value
    for module in (pool_events, durable_events)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Event)
}


def test_it_names_every_event() -> None:
    assert list(steadypool.events.__all__) == sorted(DEFINED)
    assert set(DEFINED) <= set(dir(steadypool.events))
    for name, event in DEFINED.items():
        assert getattr(steadypool.events, name) is event


@pytest.mark.parametrize("event", DEFINED.values(), ids=list(DEFINED))
def test_an_event_shows_the_module_that_users_import(event: type[Event]) -> None:
    assert event.__module__ == "steadypool.events"
    assert set(get_type_hints(event)) >= {"pool", "at"}


def test_an_event_is_pickled_by_its_public_name() -> None:
    event = JobSubmitted("pool", 1.0, "id", "task", 0, {"a": 1})
    pickled = pickle.dumps(event)
    assert b"steadypool.events" in pickled
    assert b"steadypool.model" not in pickled
    assert pickle.loads(pickled) == event


def test_an_own_event_keeps_its_own_module() -> None:
    class Mine(JobEvent):
        pass

    assert Mine.__module__ == __name__


def test_importing_it_loads_no_events() -> None:
    program = """
import sys
import steadypool.events
defined = "steadypool.model.events", "steadypool.durable.worker.events"
assert not any(name in sys.modules for name in defined)
from steadypool.events import JobStarted
assert [name in sys.modules for name in defined] == [True, False]
from steadypool.events import LeaseLost
assert LeaseLost.__module__ == JobStarted.__module__ == "steadypool.events"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ImportError, match="JobStartd"):
        exec("from steadypool.events import JobStartd")
