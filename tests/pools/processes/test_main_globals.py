"""Functions of a main module see one set of globals in each worker, however the program is run."""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipapp
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.patience import STACK, WAIT
from tests.pools.processes.methods import on_every_method

PROGRAM = """
import sys
from functools import lru_cache
from multiprocessing import get_context
from steadypool import ProcessPool, task

MODEL = None
COUNT = 0
FACTOR = 3
CACHE = {}

class Point:
    made = 0
    def __init__(self, x):
        self.x = x
        Point.made += 1
    def scaled(self):
        return self.x * FACTOR

def load(model):
    global MODEL, UNKNOWN_TO_PARENT
    MODEL = UNKNOWN_TO_PARENT = model

def use():
    return MODEL

@task(timeout=60)
def use_decorated():
    return MODEL

def use_by_another():
    return use() + use_decorated()

def use_unknown():
    return UNKNOWN_TO_PARENT

def count():
    global COUNT
    COUNT += 1
    CACHE[COUNT] = True
    return COUNT

def counted():
    return COUNT, len(CACHE)

@lru_cache
def count_once():
    return count()

def make(x):
    return Point(x)

def points(point):
    Point.made += 1
    return Point.made, isinstance(point, Point)

def scaled(point):
    return point.scaled()

def fail():
    raise ValueError(MODEL)

if __name__ == "__main__":
    method, = sys.argv[1:]
    with ProcessPool(1, get_context(method), load, ("loaded",)) as pool:
        def ask(fn, *args):
            return pool.submit(fn, *args).result(timeout=60)
        print(ask(use), ask(use_decorated), ask(task(use, timeout=60)), ask(lambda: MODEL), ask(use_by_another))
        print(ask(use_unknown), list(pool.map(use, *[[]])), MODEL)
        print(ask(count), ask(count), ask(lambda: count()), ask(counted), COUNT, CACHE)
        print(list(pool.map(lambda _: count(), range(3), chunksize=3)), ask(counted))
        print(ask(count_once), ask(count_once), ask(lambda: count_once()), ask(task(count_once)))
        print(ask(lambda: isinstance(Point(1), Point)), ask(lambda p=Point(1): isinstance(p, Point)))
        point = ask(make, 5)
        print(type(point) is Point, ask(scaled, point), ask(points, point)[1])
        before, after = ask(points, point)[0], ask(points, point)[0]
        print(after - before, Point.made, Point.scaled.__globals__ is globals())
        try:
            ask(fail)
        except ValueError as error:
            print(error)
"""
SEEN = """
loaded loaded loaded loaded loadedloaded
loaded [] None
1 2 3 (3, 3) 0 {}
[4, 5, 6] (6, 6)
7 7 7 7
True True
True 15 True
1 1 True
loaded
""".strip().splitlines()


def _script(folder: Path) -> list[str]:
    (folder / "program.py").write_text(PROGRAM)
    return ["program.py"]


def _module(folder: Path) -> list[str]:
    return ["-m", *(name.removesuffix(".py") for name in _script(folder))]


def _package(folder: Path) -> list[str]:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "__main__.py").write_text(PROGRAM)
    return ["-m", "package"]


def _zipapp(folder: Path) -> list[str]:
    (folder / "app").mkdir()
    (folder / "app" / "__main__.py").write_text(PROGRAM)
    zipapp.create_archive(folder / "app", folder / "app.pyz")
    return ["app.pyz"]


def _command(folder: Path) -> list[str]:
    return ["-c", PROGRAM]


def _profiled(folder: Path) -> list[str]:
    return ["-m", "cProfile", "-o", str(folder / "profile"), *_script(folder)]


def _run_path(folder: Path) -> list[str]:
    return ["-c", f"import runpy; runpy.run_path({_script(folder)[0]!r}, run_name='__main__')"]


def _executed(folder: Path) -> list[str]:
    """As a debugger or a launcher of one's own runs it: globals that call themselves main, and are no module's."""
    code = f"exec(compile({PROGRAM!r}, 'program.py', 'exec'), {{'__name__': '__main__'}})"
    return ["-c", code]


def run(command: list[str], cwd: Path, stdin: str | None = None) -> list[str]:
    """The lines that a program prints."""
    done = subprocess.run(
        [sys.executable, *command], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.splitlines()


WAYS = (_script, _module, _package, _zipapp, _command, _profiled, _run_path, _executed)


@pytest.mark.parametrize(
    ("method", "how"),
    [
        *(("forkserver", how) for how in WAYS),
        *(("spawn", how) for how in (_script, _module, _executed)),  # both find the main module by one function
        ("fork", _script),  # it has the main module already, whatever made it
    ],
)
def test_jobs_see_what_the_initializer_and_other_jobs_have_set(
    tmp_path: Path, method: str, how: Callable[[Path], list[str]]
) -> None:
    assert run([*how(tmp_path), method], tmp_path) == SEEN


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_so_they_do_in_a_debugger(tmp_path: Path, method: str) -> None:
    """pdb runs the program in a main module without `__spec__` before Python 3.12."""
    said = run(["-m", "pdb", "-c", "continue", "-c", "quit", *_script(tmp_path), method], tmp_path)
    assert said[: len(SEEN)] == SEEN


NOTEBOOK = """
import sys
from multiprocessing import get_context
from steadypool import ProcessPool, task
from functools import lru_cache
@lru_cache
def cached(): return "old"
FACTOR, TABLE = 1, {"a": 1}
def helper(x): return x * FACTOR
def f(x): return helper(x) + TABLE["a"]
@task(timeout=60)
def g(x): return f(x)
class Thing:
    size = 1
    def name(self): return "old", self.size
def name(thing): return thing.name()
pool = ProcessPool(1, get_context(sys.argv[1]))
def ask(fn, *args): return pool.submit(fn, *args).result(timeout=60)
print(ask(f, 10), ask(g, 10), ask(name, Thing()))
FACTOR = 2
print(ask(f, 10), ask(g, 10))
FACTOR = 1
print(ask(f, 10), ask(g, 10))
TABLE["a"] = 5
print(ask(f, 10), ask(g, 10))
def helper(x): return missing(x)
try: ask(f, 1)
except NameError as error: print(error)
def missing(x): return -x
print(ask(f, 10), ask(g, 10))
print(ask(cached))
@lru_cache
def cached(): return "new"
print(ask(cached), ask(lambda: cached()))
def f(x): return "new"
print(ask(f, 10), ask(g, 10))
Thing.size = 2
print(ask(name, Thing()))
class Thing:
    def name(self): return "new"
print(ask(name, Thing()))
pool.shutdown()
"""


@on_every_method
def test_what_is_defined_anew_reaches_the_next_job(tmp_path: Path, method: str) -> None:
    """As in a notebook, where cells are run again."""
    assert run(["-", method], tmp_path, stdin=NOTEBOOK) == [
        "11 11 ('old', 1)",
        "21 21",
        "11 11",
        "15 15",
        "name 'missing' is not defined",
        "-5 -5",
        "old",
        "new new",
        "new new",
        "('old', 2)",
        "new",
    ]


WHERE = f"""
import sys, traceback
from multiprocessing import get_context
from steadypool import ProcessPool, task
from steadypool.pools.processes.ipc import stack_request
stack_request.STACK_SECONDS = {STACK}
def divide():
    return 1 / 0
def wait():
    import threading
    threading.Event().wait()
with ProcessPool(1, get_context(sys.argv[1]), cancel_grace=0.05) as pool:
    for fn in (divide, lambda: divide()):
        error = pool.submit(fn).exception(timeout=60)
        print('File "<string>", line 8, in divide' in "".join(traceback.format_exception(error)))
    print('File "<string>", line 11, in wait' in pool.submit(task(wait, timeout=1)).exception(timeout=60).stack)
"""


@on_every_method
def test_stacks_name_file_and_line(tmp_path: Path, method: str) -> None:
    assert run(["-c", WHERE, method], tmp_path) == ["True"] * 3


MISSING = """
import sys
from multiprocessing import get_context
sys.modules["gone"] = gone = __import__("types").ModuleType("gone")
exec("def here(): return 1", gone.__dict__)
from steadypool import ProcessPool
def use(): return gone.here()
with ProcessPool(1, get_context(sys.argv[1])) as pool:
    print(type(pool.submit(use).exception(timeout=60)).__name__)
    print(pool.submit(abs, -1).result(timeout=60))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_module_that_a_worker_does_not_find_fails_the_job(tmp_path: Path, method: str) -> None:
    assert run(["-c", MISSING, method], tmp_path) == ["ModuleNotFoundError", "1"]


def test_a_module_that_was_reloaded_is_told_of(
    make_pool: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "reloaded_one.py").write_text("def f(): return 'old'\n")
    module = importlib.import_module("reloaded_one")
    try:
        pool = make_pool(1)
        assert pool.submit(module.f).result(WAIT) == "old"
        (tmp_path / "reloaded_one.py").write_text("def f(): return 'newer'\n")
        importlib.reload(module)
        with pytest.warns(RuntimeWarning, match="reloaded_one.f was defined anew"):
            assert pool.submit(module.f).result(WAIT) == "old"
        assert make_pool(1).submit(module.f).result(WAIT) == "newer"
    finally:
        del sys.modules["reloaded_one"]
