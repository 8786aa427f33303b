"""An initializer that fails in a later worker is tried again, while the others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pools.contract import jobs
from tests.pools.contract.stage import WAIT

pytestmark = pytest.mark.differs_on("asyncio", "there is no initializer")


def test_it_is_tried_again(make_pool: Callable[..., Any], tmp_path: Path) -> None:
    down, folder = tmp_path / "down", tmp_path / "meeting"
    folder.mkdir()
    pool = make_pool(1, initializer=jobs.fail_while_there_is, initargs=(str(down),))
    assert pool.submit(jobs.same, 1).result(WAIT) == 1
    down.touch()
    pool.resize(2)
    both = [pool.submit(jobs.meet, str(folder), 2) for _ in range(2)]
    while not pool.errors():
        threading.Event().wait(0.01)
    assert (pool.errors()[0].task, pool.errors()[0].type_name) == ("initializer", "ConnectionError")
    assert not any(future.done() for future in both)
    down.unlink()
    assert [future.result(WAIT) for future in both] == [2, 2]
    assert pool.drain(WAIT).ok
