"""An address that is none: one line and exit code 2, whatever the command."""

from __future__ import annotations

import pytest

from tests.cli.program import Program

COMMANDS = (
    ("jobs", "list", "--url"),
    ("jobs", "show", "x", "--url"),
    ("jobs", "stats", "--url"),
    ("jobs", "retry", "x", "--url"),
    ("jobs", "cancel", "x", "--url"),
    ("jobs", "discard", "x", "--url"),
    ("jobs", "pause", "--url"),
    ("jobs", "resume", "--url"),
    ("migrate",),
    ("migrate", "--check"),
    ("migrate", "--show"),
    ("work", "shop:queue", "--url"),
    ("enqueue", "shop:add", "[1]", "--url"),
)


@pytest.fixture
def shop(program: Program) -> Program:
    source = "from steadypool import Queue\nqueue = Queue()\n@queue.task\ndef add(one: int) -> int: return one\n"
    (program.folder / "shop.py").write_text(source)
    return program


@pytest.mark.parametrize(
    ("command", "url"),
    [
        *((command, "sqlite://jobs.db") for command in COMMANDS),
        (("migrate", "--check"), "sqlite:///a.db?timeout=5"),
        (("jobs", "cancel", "x", "--url"), "postgresql://h/d?schema=Jobs"),
        (("enqueue", "shop:add", "[1]", "--url"), "postgresql://h:abc/d"),
    ],
)
def test_a_bad_address(shop: Program, command: tuple[str, ...], url: str) -> None:
    ended = shop.run(*command, url)
    assert ended.code == 2 and ended.err.count("\n") == 1 and ended.err.startswith("Error: "), ended.err


def test_a_module_whose_queue_has_one(program: Program) -> None:
    (program.folder / "shop.py").write_text("from steadypool import Queue\nqueue = Queue('sqlite://jobs.db')\n")
    ended = program.run("work", "shop:queue")
    assert ended.code == 2 and "three before a relative path" in ended.err


@pytest.mark.parametrize(
    "command", [("migrate", "--check"), ("jobs", "list", "--url"), ("jobs", "cancel", "x", "--url")]
)
def test_a_library_that_is_not_there(program: Program, command: tuple[str, ...]) -> None:
    (program.folder / "apsw.py").write_text("raise ImportError('no apsw here')\n")
    ended = program.run(*command, "sqlite:///a.db?driver=apsw")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "steadypool[apsw]" in ended.err
