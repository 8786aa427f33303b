"""Pools whose workers are there before a test begins."""

from __future__ import annotations

from typing import Any

from tests.contract.stage import Stage


def warm(pool: Any) -> Any:
    """The pool, once every one of its workers has run a job."""
    stage = Stage()
    try:
        futures = [future for future, _ in stage.occupy(pool, pool.stats().max_workers)]
    finally:
        stage.close()
    for future in futures:
        future.result()
    return pool
