"""``steadypool web``: closed by default, and what its server does with those who are slow or call it otherwise."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from steadypool import Queue
from steadypool.cli.app import program
from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.request import Request
from steadypool.contrib.web.serve import Password
from tests.patience import WAIT

FIELDS = b"what=job&all=1&state=discarded"


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/jobs.db?synchronous=NORMAL"
    with Queue(url) as queue:
        queue.engine.migrate()
    return url


def command(*words: str, **variables: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("STEADYPOOL_")} | variables
    words = (sys.executable, "-m", "steadypool", "web", *words)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


@contextmanager
def served(*words: str, **variables: str) -> Iterator[tuple[str, str]]:
    """The address, and the line that is printed."""
    process = command(*words, "--port", "0", **variables)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        yield re.findall(r"http://\S+/", said)[0], said
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    finally:
        process.kill()
        process.communicate()


def ask(url: str, password: str | None = None, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if password is not None:
        given["Authorization"] = basic("steadypool", password)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, given), timeout=WAIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        (["--host", "0.0.0.0"], {}, "--host 0.0.0.0 can be reached by others: give a password"),
        (["--host", "::"], {}, "can be reached by others"),
        (["--host", "127.0.0.1.example"], {}, "can be reached by others"),
        ([], {"STEADYPOOL_WEB_PASSWORD": ""}, "STEADYPOOL_WEB_PASSWORD is empty"),
        (["--password-file", "none"], {}, "cannot read the password"),
        (["--password-file", os.devnull], {}, "there is no password in the first line"),
    ],
)
def test_what_is_refused(store: str, words: list[str], variables: dict[str, str], message: str) -> None:
    env = {"STEADYPOOL_WEB_PASSWORD": None, "STEADYPOOL_URL": None} | variables
    ended = CliRunner().invoke(program, ["web", store, *words, "--port", "0"], env=env)
    assert ended.exit_code == 2 and message in ended.output and "http://" not in ended.output


def test_a_new_password_each_time(store: str) -> None:
    with served(store) as (url, said):
        password = said.split()[-1]
        assert len(password) >= 20
        assert ask(url)[0] == 401 and ask(url, "wrong")[0] == 401 and ask(url, password)[0] == 200
        assert ask(url, Authorization=basic("root", password))[0] == 401
        html = ask(url, password)[1]
        assert "No worker is at work" in html and password not in html
        assert ask(f"{url}do/retry", password, FIELDS)[0] == 403
        assert ask(f"{url}do/retry", password, FIELDS, Sec_Fetch_Site="same-origin")[0] == 200
        assert ask(url, password, Host="evil.example")[0] == 421
        assert ask(url, password, Host="localhost:1")[0] == 200
        # Those who are slow: each has sent a part of its request, and holds up none of the others.
        place = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))).getpeername()
        slow = [socket.create_connection(place[:2]) for _ in range(40)]
        for number, one in enumerate(slow):
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " if number % 2 else b"POST /do/retry HTTP/1.1\r\n")
            one.sendall(b"" if number % 2 else b"Host: localhost\r\nContent-Length: 50000\r\n\r\nwhat=")
        assert ask(url, password)[0] == 200
        huge = socket.create_connection(place[:2])
        huge.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 40_000)
        assert b" 431 " in huge.recv(1000)
        for one in (*slow, huge):
            one.close()


def test_a_given_password_and_nothing_to_be_changed(store: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pässword: one\nsecond line\n", encoding="utf-8")
    with served("--url", store, "--password-file", str(file), "--read-only", "--host", "0.0.0.0") as (url, said):
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert "pässword" not in said and "with your password" in said
        assert ask(url, "pässword: one")[0] == 200
        status, html = ask(f"{url}jobs", "pässword: one", Host="jobs.example")
        assert status == 200 and "read only" in html
        assert ask(f"{url}do/retry", "pässword: one", FIELDS, Sec_Fetch_Site="same-origin")[0] == 403


def request_of(**headers: str) -> Request:
    return Request.of({"REQUEST_METHOD": "GET", **{f"HTTP_{name.upper()}": value for name, value in headers.items()}})


REBOUND = ("evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::2]", "10.0.0.5:80", "", "0", "2130706433")
OWN = ("localhost", "LOCALHOST:8090", "127.0.0.1:8090", "127.0.0.2", "[::1]:8090", "[::1]")


@pytest.mark.parametrize("host", REBOUND)
def test_another_name_for_this_machine(host: str) -> None:
    with pytest.raises(Refusal) as refused:
        Password("x", "127.0.0.1", False)(request_of(host=host, authorization=basic("steadypool", "x")))
    assert refused.value.status.startswith("421")


@pytest.mark.parametrize("host", OWN)
def test_this_machine_s_own_names(host: str) -> None:
    assert Password("x", "::1", False)(request_of(host=host, authorization=basic("steadypool", "x"))).actions


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ", "Bearer x", "Basic ????", "Basic " + "x" * 10_000, basic("steadypool", ""), basic("", "x")],
)
def test_what_is_no_password(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        Password("x", "127.0.0.1", True)(request_of(host="localhost", authorization=header))
    assert refused.value.status.startswith("401") and dict(refused.value.headers)["WWW-Authenticate"]
