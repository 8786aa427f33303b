"""What belongs to a program's own main module travels too, however the program is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pools.contract.stage import WAIT

PROGRAM = """
import sys
from multiprocessing import get_context
from steadypool import ProcessPool, task

FACTOR = 3

class Point:
    def __init__(self, x):
        self.x = x
    def move(self, by):
        return Point(self.x + by)

class Trouble(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code

def triple(x):
    return x * FACTOR

@task(name="named", timeout=30)
def quadruple(x):
    return 4 * x

def move(point):
    return Point(point.x + 1)

def fail():
    raise Trouble(7, "seven")

def set_up():
    global FACTOR
    FACTOR = 5

if __name__ == "__main__":
    def inner(x):
        return triple(x) + 1

    class Inner(Point):
        pass

    def make_inner(x):
        return Inner(x)

    for method in ("fork", "forkserver", "spawn"):
        with ProcessPool(1, get_context(method)) as pool:
            print(pool.submit(triple, 2).result(), end=" ")
            print(pool.submit(quadruple, 2).result(), end=" ")
            print(pool.submit(inner, 2).result(), end=" ")
            print(list(pool.map(triple, range(4), chunksize=2)), end=" ")
            print(list(pool.map(inner, range(4), chunksize=2)), end=" ")
            moved = pool.submit(move, Point(1)).result()
            print(moved.x, type(moved) is Point, end=" ")
            moved = pool.submit(Point(1).move, 5).result()
            print(moved.x, type(moved) is Point, end=" ")
            made = pool.submit(make_inner, 9).result()
            print(made.x, type(made) is Inner, isinstance(made, Point), end=" ")
            try:
                pool.submit(fail).result()
            except Trouble as error:
                print(error.code, end=" ")
        with ProcessPool(1, get_context(method), initializer=set_up) as pool:
            print(pool.submit(triple, 2).result())
"""
LINE = "6 8 7 [0, 3, 6, 9] [1, 4, 7, 10] 2 True 6 True 9 True True 7"


def run(*command: str, stdin: str | None = None, cwd: Path) -> list[str]:
    """What the program prints, a line for each start method."""
    done = subprocess.run(
        [sys.executable, *command], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_guarded_script(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run("program.py", cwd=tmp_path) == [f"{LINE} 10"] * 3


def test_a_module(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run("-m", "program", cwd=tmp_path) == [f"{LINE} 10"] * 3


def test_a_package(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(PROGRAM)
    lines = run("-m", "package", cwd=tmp_path)
    assert [line.startswith(LINE) for line in lines] == [True] * 3


@pytest.mark.parametrize("how", ["-c", "stdin"])
def test_without_a_file(tmp_path: Path, how: str) -> None:
    """Nobody can import such a main module: all of it travels by value. (So a worker's globals are its own.)"""
    lines = run("-c", PROGRAM, cwd=tmp_path) if how == "-c" else run("-", stdin=PROGRAM, cwd=tmp_path)
    assert [line.startswith(LINE) for line in lines] == [True] * 3, lines


def test_a_script_that_is_not_guarded_is_told_so(tmp_path: Path) -> None:
    """Each worker would run the script again: multiprocessing refuses, and the pool says why instead of hanging."""
    (tmp_path / "program.py").write_text(
        "from steadypool import ProcessPool\n"
        "pool = ProcessPool(1)\n"
        "try:\n"
        "    print(pool.submit(abs, -1).result())\n"
        "except Exception as error:\n"
        "    print('caught', type(error).__name__)\n"
        "pool.drain(5)\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT * 2, check=False
    )
    assert done.stdout.splitlines()[-1] in ("caught PoolBroken", "1"), done.stderr
