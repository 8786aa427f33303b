"""Workers that cannot start say why; and what could keep them from starting, and need not, does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pools.contract.stage import WAIT
from tests.pools.processes.methods import on_every_method

PROGRAM = """
import os, sys
from multiprocessing import get_context
from steadypool import ProcessPool

def loud(x):
    print("job", x, flush=True)
    sys.stderr.write("job\\n")
    return 2 * x

if __name__ == "__main__":
    report, method = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), sys.argv[2]
    for fd in map(int, sys.argv[3:]):
        os.close(fd)
    with ProcessPool(1, get_context(method)) as pool:
        said = [pool.submit(loud, x).result(timeout=60) for x in range(3)]
    os.write(report, repr(said).encode())
"""
BROKEN_IN_WORKERS = """
import sys
from multiprocessing import get_context
from pathlib import Path
from steadypool import ProcessPool
if __name__ == "__main__":
    import psutil
    Path(__file__).with_name("psutil.py").write_text("raise ImportError('not in workers')")
    with ProcessPool(1, get_context(sys.argv[1]), max_memory_per_child=1 << 40) as pool:
        print(pool.submit(abs, -1).exception(timeout=60))
"""
NO_SUCH_MODULE = """
import sys, types
from multiprocessing import get_context
from steadypool import ProcessPool
if __name__ == "__main__":
    gone = sys.modules["gone"] = types.ModuleType("gone")
    exec("def init(): pass", gone.__dict__)
    with ProcessPool(1, get_context(sys.argv[1]), gone.init) as pool:
        print(pool.submit(abs, -1).exception(timeout=60))
"""


def run(tmp_path: Path, program: str, method: str) -> str:
    """What it prints. (Its workers' tracebacks are not asked for.)"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py", method], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@on_every_method
@pytest.mark.parametrize("closed", ["0 1 2", "1", "0 2"])
def test_standard_descriptors_may_be_closed(tmp_path: Path, method: str, closed: str) -> None:
    """What jobs print then goes nowhere, and not into a pipe of the pool's."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "report", method, *closed.split()]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=WAIT, check=False)
    assert (tmp_path / "report").read_text() == "[0, 2, 4]"


@on_every_method
def test_a_script_that_comes_from_a_pipe(tmp_path: Path, method: str) -> None:
    """Workers cannot read it again."""
    os.mkfifo(tmp_path / "program.py")
    with subprocess.Popen([sys.executable, "program.py", "report", method], cwd=tmp_path) as program:
        (tmp_path / "program.py").write_text(PROGRAM)
        assert program.wait(WAIT) == 0
    assert (tmp_path / "report").read_text() == "[0, 2, 4]"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_that_cannot_set_itself_up_says_why(tmp_path: Path, method: str) -> None:
    said = run(tmp_path, BROKEN_IN_WORKERS, method)
    assert "ImportError: not in workers" in said and "__main__" not in said


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_initializer_that_a_worker_does_not_find(tmp_path: Path, method: str) -> None:
    said = run(tmp_path, NO_SUCH_MODULE, method)
    assert "the initializer failed" in said and "No module named 'gone'" in said and "__main__" not in said
