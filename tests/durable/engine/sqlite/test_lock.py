"""The fair lock between processes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from steadypool.durable.engine.sqlite.lock import FileLock
from tests.pools.contract.stage import WAIT


@pytest.fixture
def locks(tmp_path: Path) -> tuple[FileLock, FileLock]:
    one, other = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    yield one, other  # type: ignore[misc]
    one.close()
    other.close()


def test_a_free_lock_is_had_at_once(locks: tuple[FileLock, FileLock]) -> None:
    one, other = locks
    for lock in (one, other, one):
        assert lock.acquire(0)
        lock.release()


def test_a_held_lock_is_waited_for_and_no_longer_than_told(locks: tuple[FileLock, FileLock]) -> None:
    one, other = locks
    assert one.acquire(0)
    assert not other.acquire(0.01)
    assert not other.acquire(0.01)
    one.release()
    assert other.acquire(WAIT)
    assert not one.acquire(0.01)
    other.release()
    assert one.acquire(WAIT)
    one.release()


def test_a_lock_that_nobody_wants_any_more_is_given_back(locks: tuple[FileLock, FileLock]) -> None:
    one, other = locks
    assert one.acquire(0)
    assert not other.acquire(0.01)  # its keeper goes on waiting
    one.release()
    assert one.acquire(WAIT)
    one.release()


def test_many_threads_with_locks_of_their_own_exclude_each_other(tmp_path: Path) -> None:
    inside = [0]
    most = []

    def run() -> None:
        lock = FileLock(str(tmp_path / "lock"))
        for _ in range(200):
            assert lock.acquire(WAIT)
            inside[0] += 1
            most.append(inside[0])
            inside[0] -= 1
            lock.release()
        lock.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1} and len(most) == 800


def test_closing_while_the_keeper_waits(tmp_path: Path) -> None:
    one, other = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    assert one.acquire(0)
    assert not other.acquire(0.01)
    other.close()
    one.release()
    one.close()
