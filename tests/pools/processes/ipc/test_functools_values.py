"""What `functools` makes of functions goes by value to workers that cannot import the main module."""

from __future__ import annotations

from pathlib import Path

from tests.pools.processes.methods import on_every_method
from tests.pools.processes.test_main_globals import run

NOTEBOOK = """
import sys, threading
from functools import cached_property, singledispatch, singledispatchmethod
from multiprocessing import get_context
from steadypool import ProcessPool, task

@singledispatch
def kind(x): return "any"
@kind.register
def _(x: int): return "int"
@kind.register(list)
def _(x): return [kind(one) for one in x]
kind.unit = "cm"

class Thing:
    @singledispatchmethod
    def kind(self, x): return "any"
    @kind.register
    def _(self, x: int): return "int"
    @cached_property
    def size(self): return [3]

def local():
    @singledispatch
    def kind(x): return "any"
    @kind.register(list)
    def _(x): return [kind(one) for one in x]
    return kind

lock = threading.Lock()
def locks():
    with lock: pass

pool = ProcessPool(1, get_context(sys.argv[1]))
def ask(fn, *args): return pool.submit(fn, *args).result(timeout=60)
print(ask(kind, 1), ask(kind, [1, ""]), ask(task(kind, timeout=60), 1))
print(ask(lambda: (kind(1), kind.unit, kind.__name__, kind.__wrapped__("x"))))
print(ask(Thing().kind, 1), ask(lambda: Thing().size), ask(local(), [1]))
try: ask(kind)
except TypeError as error: print(error)
def what(x): return kind(x)
print(ask(what, ""))
@kind.register
def _(x: str): return "str"
print(ask(what, ""))
try: ask(locks)
except TypeError as error: print(error, *error.__notes__)
pool.shutdown()
"""


@on_every_method
def test_they_work_there(tmp_path: Path, method: str) -> None:
    said = run(["-", method], tmp_path, stdin=NOTEBOOK)
    assert said[:-1] == [
        "int ['int', 'any'] int",
        "('int', 'cm', 'kind', 'any')",
        "int [3] ['any']",
        "kind requires at least 1 positional argument",
        "any",
        "str",
    ]
    assert "it is the global 'lock' of the main module" in said[-1]
