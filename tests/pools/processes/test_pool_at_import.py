"""A module that starts a pool in its body, and that workers import: refused, instead of pools in pools without end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pools.contract.stage import WAIT
from tests.pools.processes.methods import on_every_method

MODULE = """
import sys
from multiprocessing import get_context
from steadypool import ProcessPool
def work(x): return 2 * x
METHOD = {method!r}
pool = ProcessPool(2, get_context(METHOD))
{body}
"""
IN_ITS_BODY = "CACHE = pool.submit(work, 21).result()"
IN_CHUNKS = "CACHE = list(pool.map(work, range(8), chunksize=4))"
LATER = "pool = ProcessPool(1, get_context(METHOD), work, (1,))"
WITH_AN_INITIALIZER = f"{LATER}\nCACHE = pool.submit(abs, -1).result()"
GUARD = 'if __name__ == "__main__":'
IN_A_FUNCTION = f"{GUARD}\n    import app\n    print(app.CACHE)\n"
BY_THE_MAIN_MODULE = f"import app\n{GUARD}\n    print(app.CACHE)\n"
IN_A_JOB = f"""
from steadypool import ProcessPool
def job():
    import app
    return app.CACHE
{GUARD}
    with ProcessPool(1) as pool:
        print(pool.submit(job).result())
"""


def run(folder: Path) -> str:
    """What the program that fails says on stderr."""
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=folder, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 1, done.stdout
    return done.stderr


@on_every_method
@pytest.mark.parametrize(
    ("main", "body"),
    [(IN_A_FUNCTION, IN_ITS_BODY), (BY_THE_MAIN_MODULE, IN_CHUNKS)],
    ids=["guarded, submit", "imported by main, map"],
)
def test_a_pool_at_import_is_refused(tmp_path: Path, method: str, main: str, body: str) -> None:
    (tmp_path / "app.py").write_text(MODULE.format(method=method, body=body))
    (tmp_path / "main.py").write_text(main)
    said = run(tmp_path)
    assert "RuntimeError" in said and GUARD in said, said


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_so_it_is_when_only_its_initializer_is_of_the_module(tmp_path: Path, method: str) -> None:
    (tmp_path / "app.py").write_text(MODULE.format(method=method, body=WITH_AN_INITIALIZER))
    (tmp_path / "main.py").write_text(IN_A_FUNCTION)
    said = run(tmp_path)
    assert "the initializer app.work needs module 'app'" in said and GUARD in said, said


@on_every_method
def test_such_a_pool_may_wait_for_the_end_of_the_import(tmp_path: Path, method: str) -> None:
    """It is made in the body, and used later."""
    (tmp_path / "app.py").write_text(MODULE.format(method=method, body=LATER))
    (tmp_path / "main.py").write_text(f"import app\n{GUARD}\n    print(app.pool.submit(abs, -1).result())\n    1 / 0\n")
    assert "ZeroDivisionError" in run(tmp_path)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_job_that_imports_such_a_module_is_told(tmp_path: Path, method: str) -> None:
    (tmp_path / "app.py").write_text(MODULE.format(method=method, body=IN_ITS_BODY))
    (tmp_path / "main.py").write_text(IN_A_JOB)
    assert "a worker process imported module 'app'" in run(tmp_path)


@on_every_method
def test_a_pool_that_is_only_made_at_import_works(tmp_path: Path, method: str) -> None:
    """Also in a worker, once the import is over."""
    (tmp_path / "app.py").write_text(
        MODULE.format(method=method, body="def nested(): return pool.submit(work, 21).result(timeout=60)")
    )
    (tmp_path / "main.py").write_text(
        f"import app\n{GUARD}\n    print(app.pool.submit(app.work, 2).result())\n"
        + ("" if method == "fork" else "    print(app.pool.submit(app.nested).result())\n")
        + "    app.pool.shutdown()\n"
    )
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.stdout.split() == (["4"] if method == "fork" else ["4", "42"]), done.stderr


def test_a_forked_worker_does_not_wait_for_an_import_that_was_under_way(tmp_path: Path) -> None:
    body = "import os\npool.submit(os.getpid).result()"
    (tmp_path / "app.py").write_text(MODULE.format(method="fork", body=body))
    (tmp_path / "main.py").write_text("import app\nprint(app.pool.submit(app.work, 2).result())\napp.pool.shutdown()\n")
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.stdout.split() == ["4"], done.stderr
