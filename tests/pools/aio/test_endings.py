"""``asyncio.run`` ends behind a pool, whatever its coroutines do; real processes, real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import WAIT

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """The loop that the program runs on."""
    return str(request.param)


@contextmanager
def program(name: str, loop: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of `tests.pools.aio.program`, running."""
    command = [sys.executable, "-X", "dev", "-m", "tests.pools.aio.program", name, loop, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def end_of(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """What it prints until its end, on stdout and stderr."""
    out, err = process.communicate(timeout=WAIT)
    return out.splitlines(), err


def test_a_drained_pool_of_stubborn_coroutines(loop: str) -> None:
    with program("drained", loop) as process:
        assert end_of(process) == (["drained", "out"], "")
        assert process.returncode == 0


def test_a_pool_left_open_is_closed_with_its_loop_and_says_so(loop: str) -> None:
    with program("left_open", loop) as process:
        out, err = end_of(process)
    assert (out, process.returncode) == (["leaving", "out"], 0)
    assert "left open when its event loop ended, pool 'forgotten'" in err
    assert "never started: 3" in err and "swallow_everything_below" in err
    assert "destroyed" not in err and "never retrieved" not in err and "ignored" not in err


def test_an_idle_pool_left_open_says_nothing(loop: str) -> None:
    with program("idle_left_open", loop) as process:
        assert end_of(process) == (["leaving", "out"], "")


def test_ctrl_c_in_the_block_of_a_pool(loop: str) -> None:
    with program("in_block", loop) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = end_of(process)
    assert out == ["cancelled True"] and process.returncode != 0
    assert "KeyboardInterrupt" in err and "destroyed" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains(loop: str, number: signal.Signals) -> None:
    with program("signals", loop) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        process.stdin.write("go on\n")
        process.stdin.flush()
        out, err = end_of(process)
    assert process.returncode == 0 and out[-2:] == ["end", "out"], err
    assert "on_time=True" in out[-3] and "returned=0" in out[-3]


def test_the_second_signal_cancels(loop: str) -> None:
    with program("signals", loop) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, err = end_of(process)
    assert process.returncode == 0 and out[-2:] == ["end", "out"], err
    assert "on_time=False" in out[-3] and "succeeded=0" in out[-3]


@pytest.mark.parametrize(
    ("number", "meaning", "ends_with", "last"),
    [
        (signal.SIGTERM, "default", -signal.SIGTERM, []),
        (signal.SIGTERM, "handler", 7, ["the old handler"]),
        (signal.SIGTERM, "handler of the loop", 7, ["the old handler"]),
        (signal.SIGINT, "default", -signal.SIGINT, []),
    ],
)
def test_the_third_means_what_it_meant(
    loop: str, number: signal.Signals, meaning: str, ends_with: int, last: list[str]
) -> None:
    with program("one_by_one", loop, meaning) as process:
        assert process.stdout is not None
        for expected in ("ready", "draining", "told"):
            assert process.stdout.readline() == f"{expected}\n"
            process.send_signal(number)
        out, err = end_of(process)
    assert (out, process.returncode) == (last, ends_with), err
    assert "destroyed" not in err
