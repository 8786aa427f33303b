"""Every block in README and docs does what it says.

A python block is a program of its own: it is run as a script, in an empty folder. A block behind the comment
``<!-- continues -->`` is run below the one before it, and ``<!-- not run: why -->`` keeps one from being run. What
a program prints is compared with the text block behind it that is marked ``<!-- output -->``; ``...`` stands for
anything, and on a line of its own for any number of lines.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path

import click
import pytest

from steadypool.cli.app import COMMANDS, program
from tests.docs.pages import PAGES, ROOT, SHELL, Block, Page
from tests.forks import run_forked

SECONDS = 50
WARNINGS = "error::ResourceWarning,ignore:SQLite :RuntimeWarning"
"""The last is about the library of the machine at hand, which not every one has: see docs/durable.md."""
BIN = Path(sys.executable).parent
KNOWN_PROGRAMS = frozenset({"eval", "find", "pip", "printf", "head", "kill", "psql", "python", "python3", "source"})


def programs() -> Iterator[object]:
    for page in PAGES:
        above = ""
        for block in page.blocks():
            if block.kind != "python":
                continue
            above = f"{above}\n{block.text}" if block.mark == "continues" else block.text
            if not block.mark.startswith("not run"):
                yield pytest.param(above, block, id=f"{page.name}:{block.line}")


@pytest.mark.parametrize(("text", "block"), list(programs()))
def test_python_block(text: str, block: Block, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(text, encoding="utf-8")
    ended = run_forked("page", cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": WARNINGS}, timeout=SECONDS)
    assert (ended.returncode, ended.stderr) == (0, "")
    if block.output is not None:
        expected = re.sub(r"^\.\.\.\n", "...", block.output, flags=re.MULTILINE)
        same = doctest.OutputChecker().check_output(expected, ended.stdout, doctest.ELLIPSIS)
        assert same, f"expected:\n{block.output}\ngot:\n{ended.stdout}"


def shell_blocks() -> Iterator[object]:
    for page in PAGES:
        for block in page.blocks():
            if block.kind in SHELL:
                yield pytest.param(page, block, id=f"{page.name}:{block.line}")


@pytest.mark.parametrize(("page", "block"), list(shell_blocks()))
def test_shell_block_names_what_exists(page: Page, block: Block) -> None:
    for line in commands(block):
        for words in in_pipe(line):
            check_command(words)


def commands(block: Block) -> list[str]:
    """The lines that are typed: in a console those behind the prompt."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.kind == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def in_pipe(line: str) -> list[list[str]]:
    """The commands of a pipe, as words, without redirections."""
    line = re.sub(r"\s\d?>\s*\S+", "", line)
    words = shlex.split(line, comments=True)
    pipe: list[list[str]] = [[]]
    for word in words:
        if word in ("|", "&&"):
            pipe.append([])
        else:
            pipe[-1].append(word)
    return [list(dropwhile(is_assignment, words)) for words in pipe]


def is_assignment(word: str) -> bool:
    """Whether it sets a variable for the command behind it."""
    return re.match(r"\w+=", word) is not None


def check_command(words: list[str]) -> None:
    name, *arguments = words
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert not arguments or arguments[0] in targets, words
    elif name == "steadypool":
        check_steadypool(arguments)
    else:
        assert name in KNOWN_PROGRAMS, f"{name}: unknown to this test"
    if name.startswith("python") and arguments[0].endswith(".py"):
        assert any((ROOT / folder / arguments[0]).is_file() for folder in (".", "examples/shop")), arguments[0]


def command_called(name: str) -> click.Command:
    found = program.get_command(click.Context(program), name)
    assert found is not None
    return found


def check_steadypool(arguments: list[str]) -> None:
    command: click.Command = program
    if arguments and not arguments[0].startswith("-"):
        assert arguments[0] in COMMANDS, arguments[0]
        command, arguments = command_called(arguments[0]), arguments[1:]
    if isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
    for word in arguments:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"{command.name} has no {word}"


def console_blocks() -> Iterator[object]:
    for page in PAGES:
        for block in page.blocks():
            if block.kind == "console":
                yield pytest.param(block, id=f"{page.name}:{block.line}")


@pytest.mark.parametrize("block", list(console_blocks()))
def test_console_block_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    shell = shutil.which("bash") or "/bin/sh"
    output = ""
    for line in commands(block):
        ended = subprocess.run(
            [shell, "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        output += f"$ {line}\n{ended.stdout}"
    assert output == block.text
