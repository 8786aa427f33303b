"""The programs of docs/web.md that have a durable queue, under real servers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from steadypool import Queue
from tests.contrib.served import WAIT, Server

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_fastapi_runs_the_jobs_in_its_process(start: Callable[..., Server], tmp_path: Path) -> None:
    served = start(["uvicorn", "fastapi_queue:app", "--port", "0"], STEADYPOOL_URL=f"sqlite:///{tmp_path}/jobs.db")
    with served.client() as client:
        accepted = client.post("/hash", content="some text")
        job = accepted.json()["job"]
        done = client.get(f"/jobs/{job}", params={"seconds": WAIT}).json()
        assert accepted.status_code == 202 and done["state"] == "completed" and len(done["result"]) == 64
        assert client.get("/jobs/job-77").status_code == 404
    served.process.send_signal(signal.SIGTERM)
    said = served.end()
    assert served.process.returncode in (0, -signal.SIGTERM) and "Traceback" not in said, said


def test_flask_enqueues_from_forked_processes(start: Callable[..., Server], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    command = "gunicorn --preload --workers 2 --threads 4 -b 127.0.0.1:0 flask_queue:app"
    served = start(command.split(), STEADYPOOL_URL=url)
    seen: set[int] = set()
    jobs: list[str] = []
    while len(seen) < 2:  # each request over a connection of its own, so that the processes share them
        with served.client() as client:
            answer = client.post("/hash", content="some text").json()
            seen.add(answer["process"])
            jobs.append(answer["job"])
    with served.client() as client:
        assert client.get(f"/jobs/{jobs[0]}").json() == {"result": None}
        worker = [sys.executable, "-m", "steadypool.cli", "work", "flask_queue:queue", "--url", url, "--until-empty"]
        subprocess.run([*worker, "--kind", "thread"], cwd=EXAMPLES, check=True, capture_output=True)
        assert len(client.get(f"/jobs/{jobs[0]}").json()["result"]) == 64
        assert client.get("/jobs/job-1-0000000000").status_code == 404
    served.process.send_signal(signal.SIGTERM)
    said = served.end()
    assert served.process.returncode == 0 and "Traceback" not in said, said
    with Queue(url) as queue:
        assert len(queue.list(state="completed", limit=1000)) == len(jobs)
