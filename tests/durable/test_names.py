"""Two tasks of one name, and one task that is made again."""

from __future__ import annotations

import functools
import importlib
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from steadypool import Queue
from tests.pools.contract.stage import WAIT

TWO_OF_ONE_NAME = {
    "a decorator that hides its function": """
        def audited(fn):
            def inner(n: int) -> str:
                return fn(n)
            return inner

        @queue.task
        @audited
        def charge(n): ...

        @queue.task
        @audited
        def refund(n): ...
    """,
    "a nested function": """
        def scaler(factor):
            @queue.task
            def scale(n: int) -> int:
                return n * factor
            return scale

        scaler(2), scaler(3)
    """,
    "a nested function, in a loop": """
        def scaler(factor):
            def scale(n: int) -> int:
                return n * factor
            return scale

        for factor in (2, 3):
            queue.task(scaler(factor))
    """,
    "a name that was copied": """
        @queue.task(name="notify")
        def notify(n: int): ...

        @queue.task(name="notify")
        def delete(n: int): ...
    """,
    "one function, defined twice": """
        @queue.task
        def send(n: int): ...

        @queue.task
        def send(n: int): ...
    """,
    "lambdas": """
        one, two = queue.task(lambda n: n), queue.task(lambda n: n + 1)
    """,
    "methods": """
        def make():
            class Mails:
                @queue.task
                def send(n: int): ...
            return Mails

        make(), make()
    """,
    "a name that is the other's alias": """
        @queue.task(name="send", aliases=["mail"])
        def send(n: int): ...

        @queue.task
        def post(n: int): ...

        @queue.task(name="mail")
        def mail(n: int): ...
    """,
    "text that is executed twice over": """
        for n in (1, 2):
            exec(f"@queue.task(name='t')\\ndef t{n}(): ...\\n@queue.task(name='t')\\ndef u{n}(): ...")
    """,
}


class Program:
    """Modules of a program in a folder of its own; its queue is in `store`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.write("store", f"from steadypool import Queue\nqueue = Queue('sqlite:///{folder}/jobs.db')\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(self, name: str, source: str) -> Path:
        self._monkeypatch.delitem(sys.modules, name, raising=False)
        path = self._folder / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return path

    def load(self, source: str) -> ModuleType:
        self.write("jobs_of_it", "from store import queue\n" + textwrap.dedent(source))
        return importlib.import_module("jobs_of_it")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, monkeypatch)


@pytest.mark.parametrize("source", TWO_OF_ONE_NAME.values(), ids=TWO_OF_ONE_NAME.keys())
def test_two_tasks_of_one_name_are_refused(program: Program, source: str) -> None:
    with pytest.raises(ValueError, match=r"has a task '.*' already.*a name of its own, @queue.task\(name=\.\.\.\)"):
        program.load(source)


def test_two_files_cannot_share_a_name(program: Program) -> None:
    program.write("other", "from store import queue\n@queue.task(name='send')\ndef send(): ...\n")
    importlib.import_module("other")
    where = r"other\.send, made at line 2 of .*other\.py; the second one is jobs_of_it\.send"
    with pytest.raises(ValueError, match=where):
        program.load("@queue.task(name='send')\ndef send(): ...\n")


def test_tasks_that_functions_make_while_the_program_runs(tmp_path: Path) -> None:
    queue = Queue(f"sqlite:///{tmp_path}/jobs.db")
    errors: list[Exception] = []

    def make() -> None:
        try:
            queue.task(lambda: 1)
        except Exception as error:
            errors.append(error)

    make()
    thread = threading.Thread(target=lambda: (make(), make()))
    thread.start()
    thread.join(WAIT)
    assert [type(error) for error in errors] == [ValueError, ValueError]


def test_a_reloaded_module_replaces_its_tasks(program: Program) -> None:
    source = """
        from functools import wraps
        def audited(fn):
            def inner(n: int) -> str:
                return fn(n)
            return inner

        @queue.task(aliases=["old"])
        @audited
        def send(n): return 1
    """
    module = program.load(source)
    queue: Any = module.queue
    for result in (2, 3):
        path = Path(module.__file__ or "")
        path.write_text("# a line more\n" + path.read_text().replace(f"return {result - 1}", f"return {result}"))
        importlib.reload(module)
        [name, alias] = queue.tasks
        assert queue.tasks[name] is queue.tasks[alias] is module.send and module.send(0) == result
    del sys.modules["jobs_of_it"]
    again = importlib.import_module("jobs_of_it")
    assert again is not module and queue.tasks[name] is again.send


def test_a_task_that_lost_its_alias_in_a_reload_has_lost_it(program: Program) -> None:
    module = program.load("@queue.task(aliases=['old'])\ndef send(n): ...\n")
    path = Path(module.__file__ or "")
    path.write_text(path.read_text().replace("(aliases=['old'])", ""))
    importlib.reload(module)
    assert list(module.queue.tasks) == ["jobs_of_it.send"]


def test_a_cell_that_is_run_again_replaces_its_tasks(tmp_path: Path) -> None:
    queue = Queue(f"sqlite:///{tmp_path}/jobs.db")
    notebook = {"__name__": "__main__", "queue": queue}
    cell = "@queue.task(name='send')\ndef send(n: int) -> int:\n    return n\n"
    edited = cell.replace("return n", "return -n")
    for source, name in ((cell, "<cell 1>"), (cell, "<cell 1>"), (edited, "<cell 2>"), ("\n" + edited, "<cell 3>")):
        exec(compile(source, name, "exec"), notebook)
        assert queue.tasks["send"] is notebook["send"]
    with pytest.raises(ValueError, match="has a task 'send' already"):
        exec(compile(cell + cell, "<cell 4>", "exec"), notebook)


def test_the_main_module_may_be_imported_under_its_own_name_too(program: Program, tmp_path: Path) -> None:
    path = program.write(
        "shop",
        """
        from store import queue

        @queue.task
        def send(n: int) -> int: return n

        if __name__ == "__main__":
            import shop
            assert shop.send is queue.tasks["shop.send"] is not send
            print(list(queue.tasks))
        """,
    )
    for command in ([str(path)], ["-m", "shop"]):
        said = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT)
        assert said.stdout == "['shop.send']\n", said.stderr


def test_jobs_of_a_former_name_are_run(tmp_path: Path) -> None:
    with Queue(f"sqlite:///{tmp_path}/jobs.db") as queue:
        job = queue.task(name="mail")(lambda n: n).enqueue(1)
    with Queue(f"sqlite:///{tmp_path}/jobs.db") as queue:
        send = queue.task(name="send", aliases=["mail", "post"])(lambda n: n + 1)
        other = send.enqueue(2)
        queue.work(kind="thread", until_empty=True)
        assert queue.get(job.id).result(0) == 2 and other.result(0) == 3
        assert {record.task for record in queue.list()} == {"mail", "send"}


@pytest.mark.parametrize("aliases", ["mail", 5, [""], [5]])
def test_aliases_that_are_no_names(aliases: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="aliases must be"):
        Queue(f"sqlite:///{tmp_path}/jobs.db").task(aliases=aliases)


def test_what_has_no_name_needs_one(tmp_path: Path) -> None:
    with Queue(f"sqlite:///{tmp_path}/jobs.db") as queue:
        with pytest.raises(TypeError, match=r"give it one, queue.task\(fn, name=...\)"):
            queue.task(functools.partial(int, base=2))
        job = queue.task(functools.partial(pow, 2), name="power").enqueue(5)
        queue.work(kind="thread", until_empty=True)
        assert job.result(0) == 32
