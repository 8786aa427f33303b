"""The system says no: what works goes on, what was refused was not accepted, and the error has the system's words."""

from __future__ import annotations

import sys

import pytest

from tests.pools.refusals import program
from tests.pools.refusals.program import output

on_every_method = pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
linux = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


@linux
@on_every_method
@pytest.mark.parametrize("spare", ["0", "9", "20"])
def test_descriptors_run_out_while_one_worker_lives(method: str, spare: str) -> None:
    lines = output(program.no_descriptors, method, spare).splitlines()
    assert lines[0] == "[0, 1, 2, 3, 4, 5, 6, 7] 9"
    assert lines[1:] == ["[2, 2] 2", "True True"]


@on_every_method
def test_no_descriptor_for_any_worker(method: str) -> None:
    said = output(program.no_descriptors_at_all, method)
    assert "OSError: [Errno 24] Too many open files" in said and "drained True" in said


@linux
def test_no_more_processes() -> None:
    lines = output(program.refuse_fork, "fork").splitlines()
    assert lines == ["True 2", "descriptors stay True", "True"]


@pytest.mark.parametrize(("kind", "said"), [("none", "No usable temporary directory"), ("long", "path too long")])
def test_no_place_for_the_socket_of_the_fork_server(kind: str, said: str) -> None:
    text = output(program.no_temporary_folder, kind)
    assert text.startswith("by default 1\n") and said in text


@linux
def test_no_more_threads_while_one_worker_lives() -> None:
    text = output(program.no_threads)
    lines = text.splitlines()
    assert lines[0] == "[0, 1, 2, 3, 4] 1"
    assert text.count("can't start new thread") == 3
    assert "accepted 8 waiting 1 999" in lines
    assert lines[-2:] == ["True 5", "True True"]


@linux
def test_threads_again_after_a_while() -> None:
    assert output(program.no_threads_for_a_while).splitlines() == ["workers 1", "True None", "True"]


@linux
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_no_thread_at_all(kind: str) -> None:
    text = output(program.no_threads_at_all, kind)
    assert "can't start new thread" in text
    assert text.splitlines()[-2:] == ["accepted 0 waiting 0", "7 True"]
