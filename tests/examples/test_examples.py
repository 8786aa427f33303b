"""The examples do what they say."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import WAIT

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_five_jobs() -> None:
    ended = subprocess.run(
        [sys.executable, EXAMPLES / "five_jobs.py"], capture_output=True, text=True, timeout=WAIT, check=True
    )
    lines = ended.stdout.splitlines()
    for what in ("started", "finished"):
        numbers = [re.fullmatch(rf"worker_[0-2] {what} job (\d)", line) for line in lines]
        assert sorted(int(number[1]) for number in numbers if number) == [1, 2, 3, 4, 5]
    assert "5 accepted: 5 succeeded" in ended.stdout
    assert lines[-1] == "shutdown complete"
    assert ended.stderr == ""


@pytest.fixture
def service() -> Iterator[subprocess.Popen[str]]:
    """The service on a free port, with two workers."""
    command = [sys.executable, EXAMPLES / "service.py", "--port", "0", "--workers", "2", "--rounds", "400000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


CLIENTS = 16
"""Enough that the drain still goes on while it is looked at."""


class Client(threading.Thread):
    """Asks for one hash, and keeps the answer."""

    def __init__(self, address: str, password: str, answered: threading.Event) -> None:
        super().__init__()
        self.address = address
        self.password = password
        self.answered = answered
        self.status = 0
        self.text = ""

    def run(self) -> None:
        self.status, self.text = ask(self.address, self.password.encode())
        self.answered.set()


def ask(address: str, body: bytes | None = None) -> tuple[int, str]:
    """The answer's status and text."""
    try:
        with urllib.request.urlopen(address, data=body, timeout=WAIT) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode().strip()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_service_finishes_refuses_and_reports(service: subprocess.Popen[str], number: signal.Signals) -> None:
    address = re.fullmatch(r"listening on (\S+)\n", read_line(service)).group(1)  # type: ignore[union-attr]
    assert ask(f"{address}health") == (200, "open")
    answered = threading.Event()
    clients = [Client(address, f"password {n}", answered) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    answered.wait(WAIT)  # whoever was first, the others run or wait: each takes as long as that one did
    service.send_signal(number)
    assert read_line(service) == "draining\n"
    while ask(f"{address}health") == (200, "open"):
        pass
    assert ask(f"{address}health")[0] == 503
    assert ask(address, b"too late")[0] == 503
    out, err = service.communicate(timeout=WAIT)
    for client in clients:
        client.join()
    served = [client for client in clients if client.status == 200]
    # On a busy machine the signal may come before the last of them.
    assert [client.status for client in clients if client not in served] == [503] * (CLIENTS - len(served))
    assert [client.text for client in served] == [expected_hash(client.password) for client in served]
    assert service.returncode == 0
    assert f"{len(served)} accepted: {len(served)} succeeded" in out
    assert err == ""


def expected_hash(password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"a salt", 400_000).hex()
