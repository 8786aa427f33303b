"""A Flask service under gunicorn with a durable queue; its jobs run in workers of their own.

    export STEADYPOOL_URL=postgresql://localhost/app       # or sqlite:////var/lib/app/jobs.db
    steadypool migrate $STEADYPOOL_URL                     # once
    gunicorn --preload --workers 4 --threads 8 flask_queue:app
    steadypool work flask_queue:queue --workers 4          # beside it, on this machine or others
    curl --data 'some text' http://127.0.0.1:8000/hash     # 202, and the job's id
    curl http://127.0.0.1:8000/jobs/job-1-9f3ac1d27b

To make a queue opens nothing. So it may be made before gunicorn forks, as with ``--preload``: each of its processes
opens connections of its own when it first needs them.
"""

import hashlib
import os
from typing import Any

from flask import Flask, request

from steadypool import EngineError, Queue, Retry, UnknownJob

ROUNDS = int(os.environ.get("ROUNDS", "100000"))

app = Flask(__name__)
queue = Queue()


@queue.task(timeout=60, retry=Retry(3))
def hashed(text: str, rounds: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", rounds).hex()


@app.post("/hash")
def accept() -> tuple[dict[str, Any], int]:
    handle = hashed.enqueue(request.get_data(as_text=True), ROUNDS)
    return {"job": handle.id, "process": os.getpid()}, 202


@app.get("/jobs/<job>")
def look(job: str) -> tuple[dict[str, Any], int]:
    try:
        return {"result": queue.get(job).result(timeout=float(request.args.get("seconds", 0)))}, 200
    except TimeoutError:
        return {"result": None}, 200
    except UnknownJob as error:
        return {"error": str(error)}, 404


@app.errorhandler(EngineError)
def refuse(error: EngineError) -> tuple[dict[str, Any], int]:
    return {"error": str(error)}, 503
