"""What a program loads before it does anything. Modules are counted: a time would depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest

import steadypool
from steadypool.cli.app import COMMANDS, Commands, program
from steadypool.durable.engine.open import open_engine
from tests.patience import WAIT

ALWAYS = {"steadypool", "steadypool.model", "steadypool.model.lazy_module"}
"""Our own modules behind ``import steadypool``."""
MOST = 40
"""Modules of the standard library that it may add to what the interpreter has loaded by itself."""


def output(code: str) -> str:
    """What *code* prints in an interpreter of its own."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT, check=True)
    return ended.stdout


def loaded(code: str) -> set[str]:
    """The modules that *code* adds to those of the interpreter."""
    said = output(f"import sys\nbefore = set(sys.modules)\n{code}\nprint('loaded:', *set(sys.modules) - before)")
    return set(said.rpartition("loaded:")[2].split())


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "steadypool"}


def test_the_package_loads_nothing_that_was_not_asked_for() -> None:
    names = loaded("import steadypool")
    assert ours(names) == ALWAYS
    assert len(names) <= MOST, sorted(names)
    assert not {"concurrent.futures", "asyncio", "dataclasses", "logging"} & names


def test_a_pool_of_threads_loads_no_other_kind() -> None:
    names = loaded("from steadypool import ThreadPool")
    assert "steadypool.pools.threads.pool" in names
    assert not {"asyncio", "multiprocessing", "cloudpickle", "difflib", "tempfile", "click"} & names
    assert not {name for name in names if name.startswith(("steadypool.pools.aio", "steadypool.pools.processes"))}


def test_a_pool_of_processes_loads_what_is_for_few_when_it_is_used() -> None:
    names = loaded("from steadypool import ProcessPool")
    assert "steadypool.pools.processes.pool" in names
    assert not {"asyncio", "cloudpickle", "steadypool.model.reports"} & names


def test_every_public_name_is_there() -> None:
    assert set(steadypool.__all__) <= set(dir(steadypool))
    for name in steadypool.__all__:
        found = getattr(steadypool, name)
        if isinstance(found, type):
            assert found.__module__ == "steadypool"
    with pytest.raises(AttributeError, match="no attribute 'ThredPool'"):
        _ = steadypool.ThredPool  # type: ignore[attr-defined]


def test_an_error_shows_its_public_name_before_anybody_asked_for_it() -> None:
    assert output("from steadypool.model.errors import JobTimeout as error; print(error.__module__)") == "steadypool\n"


def test_the_help_loads_no_command() -> None:
    names = ours(loaded_by_program("--help"))
    assert "steadypool.cli.app" in names
    assert not {name for name in names if name.startswith(("steadypool.pools", "steadypool.durable"))}
    assert not {name for name in names if name.startswith("steadypool.cli.") and name.count(".") > 2}


def test_the_version_needs_no_parser_of_options() -> None:
    assert "click" not in loaded_by_program("--version")


@pytest.mark.parametrize("name", ["map", "top", "work"])
def test_the_help_of_a_command_loads_nothing_that_runs(name: str) -> None:
    names = loaded_by_program(name, "--help")
    assert not {"rich", "msgspec", "psutil", "multiprocessing", "asyncio"} & names
    assert not within(names, "steadypool.pools", "steadypool.durable.client", "steadypool.durable.engine")
    assert not within(names, "steadypool.durable.worker.worker", "steadypool.durable.worker.events")


def test_a_look_at_a_queue_loads_no_pool_and_no_other_command(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with closing(open_engine(url)) as engine:
        engine.migrate()
    names = loaded_by_program("jobs", "list", "--url", url)
    assert "steadypool.durable.engine.sqlite.engine" in names
    assert not {"rich", "psutil", "multiprocessing", "asyncio", "pickle"} & names
    assert not within(names, "steadypool.pools", "steadypool.durable.worker", "steadypool.model.events")
    assert not within(names, "steadypool.cli.map", "steadypool.cli.top")


@pytest.mark.parametrize("name", ["batches", "limits", "schedules"])
def test_a_command_loads_no_other(name: str) -> None:
    assert not within(loaded_by_program(name, "--help"), "steadypool.cli.queue.jobs", "rich")


def within(names: set[str], *packages: str) -> set[str]:
    """Those of *names* that are one of the packages, or below it."""
    return {name for name in names if f"{name}.".startswith(tuple(f"{package}." for package in packages))}


def loaded_by_program(*words: str) -> set[str]:
    return loaded(
        "import contextlib\nfrom steadypool.cli import main\n"
        f"with contextlib.suppress(SystemExit):\n    main({list(words)!r})"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_where_the_help_says(name: str) -> None:
    assert isinstance(program, Commands)
    command = program.get_command(click.Context(program), name)
    assert command is not None and command.name == name and command.help
    assert COMMANDS[name][1].split()[0] == command.help.split()[0]
