"""The status server, asked with a real client while pools work, hang, drain and block."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from steadypool import AsyncPool, ThreadPool, serve_status, task
from steadypool.contrib.asgi import Liveness
from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT, Stage
from tests.sinks.conftest import kind

__all__ = ["kind"]


def get(url: str, **more: Any) -> httpx.Response:
    # Without `verify`, the client would read the machine's certificates for each request.
    return httpx.get(url, timeout=WAIT, trust_env=False, verify=False, **more)


def test_a_pool_s_life_as_it_is_served(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, name="served", cancel_grace=WAIT)
    with serve_status(pool) as server:
        assert server.port > 0 and server.url == f"http://127.0.0.1:{server.port}"
        [(_, actor)] = stage.occupy(pool)
        for path in ("/livez", "/readyz"):
            answer = get(server.url + path)
            assert (answer.status_code, answer.text) == (200, "ok\npool 'served' is ready\n")
        pool.submit(jobs.nothing)
        [shown] = get(f"{server.url}/status.json").json()["pools"]
        assert shown["stats"]["running"] == shown["stats"]["waiting"] == 1 and shown["stats"]["oldest_waiting"] > 0
        [row] = [row for row in shown["stats"]["worker_rows"] if row["job_id"]]
        assert row["task"] == "tests.pools.contract.jobs.act" and shown["health"]["ready"]
        pool.request_drain(WAIT)
        while pool.health().ready:
            threading.Event().wait(0.001)
        answer = get(f"{server.url}/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready\npool 'served' is not ready: draining\n")
        assert get(f"{server.url}/livez").status_code == 200
        actor.tell("return")
        assert pool.drain(WAIT).ok
        assert get(f"{server.url}/readyz").text.endswith("closed\n")
    with pytest.raises(httpx.ConnectError):
        get(f"{server.url}/livez")
    server.close()  # twice does nothing


def test_several_pools_are_ready_only_together() -> None:
    with ThreadPool(1, name="one") as one, ThreadPool(1, name="other") as other, serve_status([one, other]) as server:
        assert get(f"{server.url}/readyz").status_code == 200
        other.drain(WAIT)
        answer = get(f"{server.url}/readyz")
        assert answer.status_code == 503
        assert answer.text == "not ready\npool 'one' is ready\npool 'other' is not ready: closed\n"
        names = [pool["stats"]["name"] for pool in get(f"{server.url}/status.json").json()["pools"]]
        assert names == ["one", "other"]


def test_a_blocked_loop_is_answered_for() -> None:
    told: list[httpx.Response] = []

    async def blocks(url: str) -> None:
        thread = threading.Thread(target=lambda: told.extend(get(url + path) for path in ("/livez", "/status.json")))
        thread.start()
        thread.join(WAIT)

    async def main() -> None:
        async with AsyncPool(1, name="held") as pool:
            with serve_status(pool) as server:
                await pool.run(blocks, server.url)
                answer = await asyncio.to_thread(get, f"{server.url}/livez")
                assert answer.status_code == 200

    asyncio.run(main())
    livez, status = told
    assert (livez.status_code, livez.text) == (503, "not alive\npool 'held' is not alive: event loop blocked\n")
    [shown] = status.json()["pools"]
    assert shown["health"]["reasons"] == ["event loop blocked"] and shown["stats"]["running"] == 1


def test_it_can_be_closed_while_its_thread_is_awake() -> None:
    with ThreadPool(1) as pool:
        server = serve_status(pool)
        trigger = server._http.server.trigger
        pull = trigger._physical_pull

        def pull_late() -> None:
            pull()  # as a response that ends in this moment does
            server._thread.join(0.2)  # and the server's thread finds what it is to do, before this one goes on
            pull()

        trigger._physical_pull = pull_late
        server.close()
        assert not server._thread.is_alive()


def test_metrics_are_those_of_the_sink() -> None:
    pytest.importorskip("prometheus_client")
    pytest.importorskip("steadypool.sinks.prometheus")
    with ThreadPool(1, name="measured") as pool, serve_status(pool) as server:
        assert not pool._core.emitter.sinks  # nobody has asked yet, and jobs pay nothing
        assert get(f"{server.url}/metrics").status_code == 200
        pool.submit(jobs.nothing).result(WAIT)
        answer = get(f"{server.url}/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'pool="measured"' in answer.text and "jobs.nothing" in answer.text
    assert not pool._core.emitter.sinks


def test_a_registry_of_one_s_own() -> None:
    client = pytest.importorskip("prometheus_client")
    registry = client.CollectorRegistry()
    client.Counter("own_things", "Counted by the program itself.", registry=registry).inc(3)
    with ThreadPool(1) as pool, serve_status(pool, registry=registry) as server:
        assert "own_things_total 3.0" in get(f"{server.url}/metrics").text
        assert not pool._core.emitter.sinks


def test_a_queue_that_stays_full_is_ready(make_pool: Callable[..., Any], stage: Stage) -> None:
    pool = make_pool(1, queue_size=2, name="busy")
    [(_, actor)] = stage.occupy(pool)
    waiting = [pool.submit(jobs.nothing) for _ in range(2)]
    blocked = [threading.Thread(target=pool.submit, args=(jobs.nothing,), daemon=True) for _ in range(3)]
    for thread in blocked:
        thread.start()
    with serve_status(pool) as server:
        for path in ("/livez", "/readyz"):
            assert get(server.url + path).status_code == 200
        [shown] = get(f"{server.url}/status.json").json()["pools"]
        assert shown["health"]["full"] and shown["health"]["ready"]
        actor.tell("return")
        for thread in blocked:
            thread.join(WAIT)
        for future in waiting:
            future.result(WAIT)


def test_fifty_ask_at_once(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, name="asked")
    with serve_status(pool) as server, ThreadPoolExecutor(50) as clients:
        paths = ["/livez", "/readyz", "/status.json", "/metrics", "/"] * 10
        together = threading.Barrier(len(paths), timeout=WAIT)

        def ask(path: str) -> int:
            together.wait()
            return get(server.url + path).status_code

        answers = clients.map(ask, paths)
        futures = [pool.submit(jobs.same, number) for number in range(100)]
        assert set(answers) == {200}
        assert [future.result(WAIT) for future in futures] == list(range(100))


def test_clients_that_say_nothing_or_never_finish_hold_nobody_up() -> None:
    with ThreadPool(1) as pool, serve_status(pool) as server, ExitStack() as stack:
        for number in range(20):  # more than there are threads that answer
            slow = stack.enter_context(socket.create_connection((server.host, server.port), WAIT))
            slow.sendall(b"GET /status.json HTTP/1.1\r\nHost: localh"[: number * 3])
        assert get(f"{server.url}/livez").status_code == 200


@pytest.mark.parametrize("meta", [{"key": object()}, {"key": {1, 2}}, {object(): 1}])
def test_what_is_no_json_does_not_spoil_the_answer(meta: dict[Any, Any]) -> None:
    over = threading.Event()
    with ThreadPool(1, name="odd \udc80 name") as pool, serve_status(pool) as server:
        odd = task(lambda: over.wait(WAIT), id="job \udcff", name="<task>", meta=meta)
        future = pool.submit(odd)
        while not pool.stats().running:
            threading.Event().wait(0.001)
        for path in ("/", "/livez", "/readyz", "/metrics"):
            assert get(server.url + path).status_code == 200
        [shown] = get(f"{server.url}/status.json").json()["pools"]
        assert [row["task"] for row in shown["stats"]["worker_rows"]] == ["<task>"]
        over.set()
        assert future.result(WAIT)
        pool.submit(task(jobs.fail, meta=meta), "\udc80 \0 \x1b").exception(WAIT)
        [error] = get(f"{server.url}/status.json").json()["pools"][0]["errors"]
        assert error["type_name"] == "ValueError"


def test_a_pool_that_is_stuck_is_not_alive(stage: Stage) -> None:
    with ThreadPool(1, name="stuck", cancel_grace=0.01) as pool, serve_status(pool) as server:
        for _ in range(2):
            stage.start(pool, fn=task(jobs.act, timeout=0.01))[0].exception(WAIT)
        while pool.health().alive:
            threading.Event().wait(0.001)
        answer = get(f"{server.url}/livez")
        assert (answer.status_code, answer.text) == (503, "not alive\npool 'stuck' is not alive: all workers stuck\n")
        [shown] = get(f"{server.url}/status.json").json()["pools"]
        assert [row["job_id"] for row in shown["stuck_rows"]] == ["stuck-1", "stuck-2"]
        stage.close()


def test_a_look_is_answered_after_the_pool_is_closed_and_gone() -> None:
    pool = ThreadPool(1, name="gone")
    with serve_status(pool) as server:
        assert get(f"{server.url}/metrics").status_code == 200
        pool.drain(WAIT)
        for path, code in (("/livez", 200), ("/readyz", 503), ("/status.json", 200), ("/metrics", 200), ("/", 200)):
            assert get(server.url + path).status_code == code


def test_what_is_refused() -> None:
    with ThreadPool(1) as pool, serve_status(pool) as server:
        assert httpx.post(f"{server.url}/livez", timeout=WAIT, trust_env=False).status_code == 405
        answer = get(f"{server.url}/nothing")
        assert answer.status_code == 404 and "/readyz" in answer.text
        answer = get(f"{server.url}/status.json", headers={"Host": f"evil.example:{server.port}"})
        assert answer.status_code == 403 and "localhost" in answer.text
        assert get(f"{server.url}/livez", headers={"Host": "localhost"}).status_code == 200
        answer = httpx.head(f"{server.url}/livez", timeout=WAIT, trust_env=False)
        assert (answer.status_code, answer.text) == (200, "")
        assert answer.headers["content-length"] == str(len(get(f"{server.url}/livez").content))
        assert httpx.head(f"{server.url}/nothing", timeout=WAIT, trust_env=False).status_code == 404
        for path in ("/livez/", "/livez%00", "/../etc/passwd", "/%ff", "/LIVEZ", "/livez?x=" + "y" * 5000):
            expected = 200 if "?" in path else 404
            assert get(server.url + path).status_code == expected, path
        assert "/metrics" in get(server.url).text


def test_other_machines_may_ask_by_any_name_where_they_are_let_in() -> None:
    with ThreadPool(1) as pool, serve_status(pool, host="0.0.0.0") as server:
        answer = get(f"http://127.0.0.1:{server.port}/livez", headers={"Host": "web-1.internal"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("pool", 80), TypeError, "needs a pool"),
        (([], 80), TypeError, "needs a pool"),
        ((None,), TypeError, "needs a pool"),
        ((..., "80"), TypeError, "whole number"),
        ((..., 70000), ValueError, "65535"),
        ((..., 0, ""), TypeError, "address"),
        ((..., 0, "no such host.invalid"), OSError, "no such host"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], error: type[Exception], says: str) -> None:
    with ThreadPool(1) as pool:
        given = tuple(pool if one is ... else one for one in arguments)
        with pytest.raises(error, match=says):
            serve_status(*given)


def test_a_port_that_is_taken_is_named() -> None:
    with ThreadPool(1) as pool, serve_status(pool) as server:
        with pytest.raises(OSError, match=f"127.0.0.1, port {server.port}"):
            serve_status(pool, server.port)


def run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT, check=False
    )


def test_it_answers_while_everything_is_busy_and_never_holds_the_end(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        import threading, urllib.request
        from steadypool import ThreadPool, serve_status

        pool = ThreadPool(2)
        server = serve_status(pool)
        asked = threading.Event()

        def ask():
            print(urllib.request.urlopen(server.url + "/livez", timeout=20).status)
            asked.set()

        def spin():
            while not asked.is_set():
                pass

        for _ in range(2):
            pool.submit(spin)
        threading.Thread(target=ask).start()
        spin()
        """,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "200\n", "")


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="a system without /proc")
def test_it_sleeps_while_nobody_asks(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        import os, re, threading, urllib.request
        from steadypool import ThreadPool, serve_status

        def wake_ups():
            tasks = [t.native_id for t in threading.enumerate() if t.name.startswith(("waitress", "steadypool"))]
            return {t: re.findall(r"ctxt_switches:.(.+)", open(f"/proc/self/task/{t}/status").read()) for t in tasks}

        with ThreadPool(1) as pool, serve_status(pool) as server:
            urllib.request.urlopen(server.url + "/livez", timeout=20).read()
            for _ in range(20):  # a busy machine takes longer to end what was under way
                before = wake_ups()
                threading.Event().wait(0.5)
                if quiet := len(before) > 1 and wake_ups() == before:
                    break
            print(quiet)
        """,
    )
    assert ended.stdout == "True\n", ended.stderr


def test_a_request_before_any_thread_waits_for_one_is_nothing_to_warn_of(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        import urllib.request
        from steadypool import ThreadPool, serve_status

        with ThreadPool(1) as pool, serve_status(pool) as server:
            server._http.server.task_dispatcher.active_count += 4  # as it is until its threads have begun to wait
            print(urllib.request.urlopen(server.url + "/livez", timeout=20).status)
            server._http.server.task_dispatcher.active_count -= 4
        """,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "200\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system that cannot fork")
def test_a_forked_child_lets_go_of_the_port(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        import os, urllib.request
        from steadypool import ThreadPool, serve_status

        pool = ThreadPool(1)
        server = serve_status(pool)
        told, tell = os.pipe()
        began, begin = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(tell)  # or it would wait for itself, were its parent to fail
            os.write(begin, b"x")
            os.read(told, 1)
            server.close()  # not the child's: nothing to do
            os._exit(0)
        os.read(began, 1)  # until then the child may hold the port: fork() returns here first
        assert urllib.request.urlopen(server.url + "/livez", timeout=20).status == 200
        server.close()
        try:
            urllib.request.urlopen(server.url + "/livez", timeout=20)
        except OSError as error:
            print(error.reason.errno == 111 or error.reason)
        os.write(tell, b"x")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
    )
    assert (ended.returncode, ended.stdout) == (0, "True\n0\n"), ended.stderr


@pytest.mark.parametrize(
    ("hidden", "path", "says"),
    [("waitress", "", "steadypool[status]"), ("prometheus_client", "/metrics", "501 no metrics: prometheus-client")],
)
def test_what_is_not_installed_is_named(tmp_path: Path, hidden: str, path: str, says: str) -> None:
    ended = run(
        tmp_path,
        f"""
        import sys, urllib.error, urllib.request
        sys.modules[{hidden!r}] = None
        from steadypool import ThreadPool, serve_status
        try:
            urllib.request.urlopen(serve_status(ThreadPool(1)).url + {path!r}, timeout=20)
        except ImportError as error:
            print(error)
        except urllib.error.HTTPError as error:
            print(error.code, error.read().decode())
        """,
    )
    assert says in ended.stdout, ended.stderr


def test_liveness_over_asgi() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pool = ThreadPool(1)
    asyncio.run(Liveness(pool)({"type": "http"}, None, send))
    pool.drain(WAIT)
    asyncio.run(Liveness(pool)({"type": "http"}, None, send))
    pool._core.broken_by = RuntimeError("no")
    asyncio.run(Liveness(pool)({"type": "http"}, None, send))
    assert [message["status"] for message in sent[::2]] == [200, 200, 503]
    assert [message["body"] for message in sent[1::2]] == [b"alive\n", b"alive\n", b"closed, broken\n"]
