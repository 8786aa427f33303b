"""A Flask service under gunicorn, with a pool in each worker.

    gunicorn -c gunicorn_conf.py flask_service:app
    curl --data 'some text' http://127.0.0.1:8000/hash

Each worker of gunicorn imports this module and has a pool of its own. With ``--preload`` the pool would belong to
gunicorn's first process, and its workers would refuse work and say so: then make the pool in ``post_worker_init``.
"""

import hashlib
import os

from flask import Flask, request

from steadypool import JobCancelled, JobTimeout, PoolClosed, QueueFull, ThreadPool, task

ROUNDS = int(os.environ.get("ROUNDS", "100000"))

app = Flask(__name__)
pool = ThreadPool(8, queue_size=100, on_full="reject")


@task(timeout=60)
def hashed(text: bytes, rounds: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", text, b"salt", rounds).hex()


@app.post("/hash")
def answer() -> str:
    return pool.submit(hashed, request.get_data(), ROUNDS).result()


@app.get("/ready")
def ready() -> tuple[str, int]:
    health = pool.health()
    return ("ready\n", 200) if health.ready else (", ".join(health.reasons) + "\n", 503)


@app.errorhandler(QueueFull)
@app.errorhandler(PoolClosed)
@app.errorhandler(JobCancelled)
def refuse(error: Exception) -> tuple[str, int]:
    return f"{error}\n", 503


@app.errorhandler(JobTimeout)
def give_up(error: Exception) -> tuple[str, int]:
    return f"{error}\n", 504
