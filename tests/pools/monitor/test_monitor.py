"""Pools that are watched: what is answered, what it costs, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steadypool import AsyncPool, JobCancelled, ThreadPool
from steadypool.pools.monitor import line_server, socket_dir
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.pools.monitor.looker import Looker


def wait_until(is_so: Callable[[], bool]) -> None:
    """For what another thread does soon, and nobody says."""
    limit = threading.Event()
    timer = threading.Timer(WAIT, limit.set)
    timer.start()
    while not is_so():
        assert not limit.is_set()
        os.sched_yield() if hasattr(os, "sched_yield") else None
    timer.cancel()


def gone(runtime: Path) -> bool:
    return os.listdir(runtime) == []


@pytest.mark.usefixtures("patient_stacks")
def test_a_look_at_a_pool_that_works(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, name="seen", monitor=True, queue_size=9)
    future, actor = stage.start(pool)
    pool.submit(jobs.fail_if_odd, 1)
    with Looker() as looker:
        seen = looker.look()["seen"]
        assert (seen["kind"], seen["health"]["alive"]) == (pool._core.workers.kind, True)
        assert (seen["stats"]["running"], seen["stats"]["waiting"], seen["stats"]["queue_size"]) == (1, 1, 9)
        [row] = [row for row in seen["stats"]["worker_rows"] if row["job_id"]]
        assert (row["job_id"], row["task"]) == (future.job_id, "tests.pools.contract.jobs.act")
        kind, stack = looker.ask(do="stack", pool=seen["number"], job=future.job_id)
        assert kind == "stack" and "in act" in stack
        assert f"called with ('{stage.address}', " in stack
        kind, said = looker.ask(do="cancel", pool=seen["number"], job="nothing")
        assert (kind, said) == ("refused", "job nothing does not run any more")
        actor.tell("return")
        wait_until(lambda: looker.look()["seen"]["errors"] != [])  # a failure is counted first
        [error] = looker.look()["seen"]["errors"]
        assert (error["task"], error["count"]) == (
            "tests.pools.contract.jobs.fail_if_odd",
            1,
        ) and "traceback" not in error
        kind, text = looker.ask(do="errors", pool=seen["number"])
        assert kind == "errors" and "latest job: seen-2(1)" in text and "in fail_if_odd" in text
        assert text.startswith(
            "1 x tests.pools.contract.jobs.fail_if_odd: ValueError: 1 is odd\n  at contract/jobs.py:"
        )
        # The tasks are counted by events, which a thread of their own brings.
        wait_until(lambda: ended(looker.look()["seen"]) == {"act": (1, 0), "fail_if_odd": (1, 1)})


def ended(seen: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """How many jobs of each task have ended, and failed."""
    return {row["task"].rpartition(".")[2]: (row["ended"], row["failed"]) for row in seen["tasks"]}


def test_texts_that_are_no_proper_unicode() -> None:
    with ThreadPool(1, name="caf\udce9", monitor=True) as pool, Looker() as looker:
        pool.submit(os.stat, "/no such file \udcff").exception(WAIT)
        [seen] = looker.look().values()
        assert seen["stats"]["name"] == "caf\\udce9" and seen["errors"][0]["count"] == 1


def test_how_a_pool_ended_is_said_before_anybody_else_knows(
    make_pool: Callable[..., Any], stage: Stage, runtime: Path
) -> None:
    pool = make_pool(1, name="ends", monitor=True)
    with Looker() as looker:
        number = looker.look()["ends"]["number"]
        assert looker.ask(do="drain", pool=number, seconds=-1)[0] == "refused"
        _, actor = stage.start(pool)
        assert looker.ask(do="drain", pool=number, seconds=WAIT) == ("draining", "ends")
        actor.tell("return")
        heard = looker.hear()
        assert heard is not None and heard[0] == "ended"
        assert heard[1]["pool"]["stats"]["state"] == "closed" and heard[1]["report"].startswith("pool 'ends' closed")
        assert looker.hear() is None  # it was the last pool
    wait_until(lambda: gone(runtime))


def test_several_pools_and_several_lookers(runtime: Path) -> None:
    with ThreadPool(1, name="stays", monitor=True), Looker() as one, Looker() as other:
        with ThreadPool(1, name="goes", monitor=True), ThreadPool(1, name="unseen"):
            assert set(one.look()) == set(other.look()) == {"stays", "goes"}
        for looker in (one, other):
            heard = looker.hear()
            assert heard is not None and heard[1]["pool"]["stats"]["name"] == "goes"
            assert set(looker.look()) == {"stays"}
        assert os.listdir(runtime) == [str(os.getpid())]
    wait_until(lambda: gone(runtime))


def test_an_asyncio_pool_and_its_blocked_loop() -> None:
    async def blocks(looker: Looker) -> str:
        seen: dict[str, Any] = {}

        def ask() -> None:
            seen.update(looker.look()["coroutines"])
            while seen["health"]["alive"]:
                seen.update(looker.look()["coroutines"])

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(WAIT)
        assert seen["health"]["reasons"] == ["event loop blocked"] and seen["stats"]["running"] == 1
        return "went on"

    async def main() -> None:
        async with AsyncPool(1, name="coroutines", monitor=True) as pool:
            with Looker() as looker:
                assert await pool.run(blocks, looker) == "went on"

    asyncio.run(main())


def test_nobody_looks_and_nothing_is_done() -> None:
    with ThreadPool(1, monitor=True) as pool:
        pool.submit(jobs.nothing).result(WAIT)
        assert not pool._core.emitter.sinks
        with Looker() as looker:
            assert not pool._core.emitter.sinks  # who only knocks does not cost anything
            looker.look()
            assert len(pool._core.emitter.sinks) == 1
            looker.look()
            assert len(pool._core.emitter.sinks) == 1
        wait_until(lambda: not pool._core.emitter.sinks)


def test_only_this_user_can_find_it(runtime: Path) -> None:
    with ThreadPool(1, monitor=True):
        assert stat.S_IMODE(os.stat(runtime).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(runtime / str(os.getpid())).st_mode) == 0o600
    wait_until(lambda: gone(runtime))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("lets_in", [False, True])
def test_another_user_gets_nothing(runtime: Path, lets_in: bool) -> None:
    """The folder keeps others out; and if somebody has opened it, the kernel's word on who is there does."""
    with ThreadPool(1, monitor=True):
        path = runtime / str(os.getpid())
        runtime.parent.chmod(0o755)
        if lets_in:
            runtime.chmod(0o755)
            path.chmod(0o666)
        child = os.fork()
        if child == 0:
            os._exit(_what_a_stranger_gets(path))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (4 if lets_in else 3)


def _what_a_stranger_gets(path: Path) -> int:
    os.setuid(65534)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(WAIT)
            connection.connect(str(path))
            connection.sendall(b'{"do": "look"}\n')
            return 4 if not connection.recv(100) else 1
    except PermissionError:
        return 3
    except (BrokenPipeError, ConnectionResetError):
        return 4
    except BaseException:
        return 2


def test_the_kernel_s_word_on_who_is_there() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert line_server.peer_uid(one) in (None, os.geteuid())


def test_sockets_of_dead_programs_are_removed_by_the_next_who_looks(runtime: Path) -> None:
    with ThreadPool(1, monitor=True):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(runtime / "4194305"))
        (runtime / "a note").write_text("of somebody else's")
        assert list(socket_dir.find(os.geteuid())) == [os.getpid()]
        assert sorted(os.listdir(runtime)) == sorted([str(os.getpid()), "a note"])
    (runtime / "a note").unlink()
    wait_until(lambda: gone(runtime))


def test_a_folder_that_is_not_private_is_not_used(runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    with pytest.warns(RuntimeWarning, match="works, but .* cannot look at it: .*not a folder that is private") as told:
        pool = ThreadPool(1, name="unseen", monitor=True)
    assert [one.filename for one in told] == [__file__]
    with pytest.warns(RuntimeWarning, match="cannot look at it") as told:
        AsyncPool(1, monitor=True)
    assert [one.filename for one in told] == [__file__]
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    pool.drain()
    assert socket_dir.find(os.geteuid()) == {}
    runtime.rmdir()
    runtime.parent.mkdir(exist_ok=True)
    (runtime.parent / "real").mkdir(mode=0o700)
    runtime.symlink_to(runtime.parent / "real")
    with pytest.warns(RuntimeWarning, match="not a folder that is private"):
        ThreadPool(1, monitor=True).drain()
    with pytest.raises(TypeError, match="monitor must be True"):
        ThreadPool(1, monitor="yes")  # type: ignore[arg-type]


def test_a_pool_that_nobody_refers_to_any_more_is_not_watched(runtime: Path) -> None:
    pool = ThreadPool(1, monitor=True)
    assert os.listdir(runtime)
    del pool  # it never had a worker
    gc.collect()
    wait_until(lambda: gone(runtime))
    ThreadPool(1, monitor=True).submit(jobs.nothing).result(WAIT)
    gc.collect()
    wait_until(lambda: gone(runtime))


def test_one_who_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_server, "MAX_UNREAD", 100_000)
    with ThreadPool(1, name="watched", monitor=True) as pool, Looker() as stuck, Looker() as other:
        with pytest.raises(OSError):  # it is shown out
            while True:
                stuck.send(do="look")
        assert pool.submit(jobs.same, 1).result(WAIT) == 1
        assert set(other.look()) == {"watched"}
        report = pool.drain(WAIT)
        assert report.ok


def test_nonsense_is_refused_and_a_line_without_end_is_shown_out() -> None:
    with ThreadPool(1, monitor=True):
        with Looker() as looker:
            looker.connection.sendall(b"\xff{\n")
            heard = looker.hear()
            assert heard is not None and heard[0] == "refused"
            assert looker.ask(do="dance")[0] == "refused"
            assert looker.ask(do="stack", pool=10**6)[0] == "refused"
            assert looker.ask(do="stack", pool=next(iter(looker.look().values()))["number"], job="no such")[1] == (
                "job no such does not run any more\n"
            )
            looker.connection.sendall(b"x" * 2 * line_server.MAX_LINE)
            with pytest.raises((AssertionError, OSError)):
                looker.ask(do="look")


def test_an_answer_that_fails_costs_that_client_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPool(1, monitor=True) as pool, Looker() as one, Looker() as other:
        with monkeypatch.context() as patch:
            patch.setattr(pool._core.workers, "places", lambda: 1 // 0)
            one.send(do="look")
            assert one.hear() is None
        assert other.look()
    assert "please report it" in caplog.text


def test_more_clients_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_server, "MAX_CLIENTS", 3)
    with ThreadPool(1, monitor=True):
        lookers = [Looker() for _ in range(3)]
        assert all(looker.look() for looker in lookers)
        with Looker() as late, pytest.raises((AssertionError, OSError)):
            late.ask(do="look")
        lookers[0].close()
        assert all(looker.look() for looker in lookers[1:])
        for looker in lookers[1:]:
            looker.close()


def test_pools_that_come_and_go_from_many_threads(runtime: Path) -> None:
    def come_and_go(number: int) -> None:
        for count in range(20):
            with ThreadPool(1, name=f"{number}-{count}", monitor=True) as pool:
                with Looker() as looker:
                    assert pool.name in looker.look()

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    wait_until(lambda: gone(runtime))


def run(runtime: Path, text: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime.parent)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )


@pytest.mark.parametrize("end", ["pass", "pool.drain()", "sys.exit()"])
def test_a_program_leaves_nothing_behind_at_its_end(runtime: Path, end: str) -> None:
    text = f"""
    import os, sys
    from steadypool import ThreadPool
    pool = ThreadPool(1, monitor=True)
    pool.submit(abs, -1).result()
    print(os.listdir(os.environ["XDG_RUNTIME_DIR"] + "/steadypool"))
    {end}
    """
    ended = run(runtime, text)
    assert (ended.returncode, ended.stderr) == (0, "") and len(ended.stdout) > 5
    assert gone(runtime)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_a_socket_of_its_own(runtime: Path) -> None:
    ended = run(
        runtime,
        """
        import os, sys
        from steadypool import ThreadPool
        from steadypool.pools.monitor import socket_dir as rendezvous
        folder = os.environ["XDG_RUNTIME_DIR"] + "/steadypool"
        pool = ThreadPool(1, monitor=True)
        connection = rendezvous.connect(rendezvous.Path(folder) / str(os.getpid()))
        connection.sendall(b'{"do": "look"}\\n')
        connection.recv(1)
        child = os.fork()
        if child == 0:
            with ThreadPool(1, monitor=True):
                assert sorted(os.listdir(folder)) == sorted([str(os.getppid()), str(os.getpid())])
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert os.listdir(folder) == [str(os.getpid())]
        pool.drain()
        while connection.recv(100_000):  # the child has no copy that holds it open
            pass
        print("end")
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "end\n"), ended.stderr
    assert gone(runtime)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
def test_an_idle_monitor_sleeps(runtime: Path) -> None:
    ended = run(
        runtime,
        """
        import glob, os, re, threading
        from steadypool import ThreadPool

        def wake_ups():
            paths = [f"/proc/self/task/{t.native_id}/status" for t in threading.enumerate() if "monitor" in t.name]
            return {path: re.findall(r"ctxt_switches:.(.+)", open(path).read()) for path in paths}

        with ThreadPool(1, monitor=True) as pool:
            pool.submit(abs, -1).result()
            for _ in range(20):  # a busy machine takes longer to end what was under way
                before = wake_ups()
                pool.submit(abs, -1).result()
                threading.Event().wait(0.4)
                if quiet := bool(before) and wake_ups() == before:
                    break
            print(quiet)
        """,
    )
    assert ended.stdout == "True\n", ended.stderr


def test_a_job_of_any_pool_can_be_cancelled(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, monitor=True)
    future = pool.submit(jobs.act, stage.address, "a")
    actor = stage.enter()
    with Looker() as looker:
        number = looker.look()[pool.name]["number"]
        kind, said = looker.ask(do="cancel", pool=number, job=future.job_id)
        assert (kind, said) == ("told", f"job {future.job_id} is asked to stop")
        assert actor.ask("told")[1] == "cancelled"
    actor.tell("obey")
    assert future.exception(WAIT).cause == "cancelled"


def test_a_coroutine_can_be_cancelled() -> None:
    async def main() -> None:
        async with AsyncPool(1, monitor=True) as pool:
            future = await pool.submit(asyncio.sleep, 60)
            await asyncio.to_thread(ask, pool, future.job_id)
            with pytest.raises(JobCancelled):
                await future

    def ask(pool: AsyncPool, job: str) -> None:
        with Looker() as looker:
            assert looker.ask(do="cancel", pool=looker.look()[pool.name]["number"], job=job)[0] == "told"

    asyncio.run(main())
