"""`steadypool.sinks` names all that users import, and needs the library of a sink only for that sink."""

from __future__ import annotations

import subprocess
import sys

import pytest

import steadypool.sinks

NEEDS = {"PrometheusSink": "prometheus_client", "OpenTelemetrySink": "opentelemetry"}


@pytest.mark.parametrize("name", steadypool.sinks.__all__)
def test_a_name_is_there_and_shows_the_public_module(name: str) -> None:
    assert name in dir(steadypool.sinks)
    assert getattr(steadypool.sinks, name).__module__ == "steadypool.sinks"


@pytest.mark.parametrize(("name", "library"), NEEDS.items())
def test_only_the_sink_that_uses_a_library_needs_it(name: str, library: str) -> None:
    others = [other for other in steadypool.sinks.__all__ if other != name]
    program = f"""
import sys
sys.modules[{library!r}] = None  # as if it were not installed
from steadypool.sinks import {", ".join(others)}
try:
    from steadypool.sinks import {name}
except ImportError as error:
    assert {library!r} in str(error), error
else:
    raise AssertionError("it does not need the library")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_importing_it_loads_no_sink() -> None:
    program = """
import sys
import steadypool.sinks
assert not [name for name in sys.modules if name.startswith("steadypool.sinks.")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ImportError, match="LogingSink"):
        exec("from steadypool.sinks import LogingSink")
