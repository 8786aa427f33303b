"""The whole programs of docs/web.md, under real servers that are told to end in the middle of a job."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contrib.served import WAIT, Server

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVERS = {
    "uvicorn": ["uvicorn", "fastapi_service:app", "--port", "0"],
    "gunicorn with ASGI": ["gunicorn", "fastapi_service:app", "-k", "asgi", "-b", "127.0.0.1:0"],
    "gunicorn with Flask": ["gunicorn", "-c", "gunicorn_conf.py", "-b", "127.0.0.1:0", "flask_service:app"],
}


@pytest.mark.parametrize(
    "name", ["fastapi_service.py", "flask_service.py", "gunicorn_conf.py", "fastapi_queue.py", "flask_queue.py"]
)
def test_the_page_has_the_program(name: str) -> None:
    page = (EXAMPLES.parent / "docs" / "web.md").read_text()
    assert f"```python\n{(EXAMPLES / name).read_text()}```\n" in page


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
