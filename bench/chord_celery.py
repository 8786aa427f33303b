"""Celery with a broker and results in SQLite files, as its worker imports it. The folder is in the environment."""

import os

from celery import Celery

FOLDER = "STEADYPOOL_BENCH_CELERY"
_folder = os.environ.get(FOLDER, ".")
app = Celery("bench", broker=f"sqla+sqlite:///{_folder}/broker.db", backend=f"db+sqlite:///{_folder}/results.db")


@app.task(name="one")
def one() -> int:
    return 1


@app.task(name="total")
def total(results: list[int]) -> int:
    return sum(results)
