"""The whole programs of docs/web.md, under real servers that are told to end in the middle of a job."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT = 40.0
SERVERS = {
    "uvicorn": ["uvicorn", "fastapi_service:app", "--port", "0"],
    "gunicorn with ASGI": ["gunicorn", "fastapi_service:app", "-k", "asgi", "-b", "127.0.0.1:0"],
    "gunicorn with Flask": ["gunicorn", "-c", "gunicorn_conf.py", "-b", "127.0.0.1:0", "flask_service:app"],
}


@pytest.mark.parametrize("name", ["fastapi_service.py", "flask_service.py", "gunicorn_conf.py"])
def test_the_page_has_the_program(name: str) -> None:
    page = (EXAMPLES.parent / "docs" / "web.md").read_text()
    assert f"```python\n{(EXAMPLES / name).read_text()}```\n" in page


class Server:
    """A server that runs, and what it says."""

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, "ROUNDS": "10", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._address = ""
        self._found = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"(?:running on|Listening at:) (http://\S+)", line):
                self._address = found[1]
                self._found.set()
        self._found.set()

    def client(self) -> httpx.Client:
        assert self._found.wait(WAIT)
        return httpx.Client(base_url=self._address, timeout=WAIT)

    def end(self) -> str:
        """Wait for its end; returns what it said."""
        self.process.wait(WAIT)
        self._reader.join()
        return "".join(self.lines)


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts a server; at the end of the test none is left."""
    servers: list[Server] = []

    def start(command: list[str], folder: Path = EXAMPLES, **environment: str) -> Server:
        servers.append(Server(command, folder, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_idle_ends_at_once(start: Callable[..., Server], name: str) -> None:
    server = start(SERVERS[name])
    with server.client() as client:
        assert client.get("/ready").status_code == 200
        assert len(client.post("/hash", content="a").text) == 64
    server.process.send_signal(signal.SIGTERM)
    said = server.end()
    assert server.process.returncode in (0, -signal.SIGTERM), said
    assert "Traceback" not in said


@pytest.mark.parametrize("server", ["uvicorn busy:app --port 0", "gunicorn busy:app -k asgi -b 127.0.0.1:0"])
def test_jobs_without_end_are_stopped_and_their_requests_answered(
    start: Callable[..., Server], server: str, tmp_path: Path
) -> None:
    served = start(server.split(), Path(__file__).parent, BUSY_FOLDER=str(tmp_path))
    answers: list[int] = []
    with served.client() as client:
        asking = [
            threading.Thread(target=lambda path=path: answers.append(client.get(path).status_code))
            for path in ("/threads", "/processes")
        ]
        for thread in asking:
            thread.start()
        # Not only handed over: a job that no worker has begun is returned, and not interrupted.
        while len(os.listdir(tmp_path)) < 2:
            assert served.process.poll() is None, served.lines
            threading.Event().wait(0.01)
        served.process.send_signal(signal.SIGTERM)
        for thread in asking:
            thread.join(WAIT)
    said = served.end()
    assert answers == [503, 503], said
    assert said.count("1 accepted: 1 interrupted") == 2, said
    assert "Traceback" not in said
