"""Once the folder has settled one look at it stands for all files: what happens to them is noticed all the same."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from steadypool import EngineGone
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.sqlite import folder
from tests.durable.conformance.steps import put
from tests.patience import eventually

ENDS = ("-wal", "-shm", "-lock")
REMOVED = [names for count in (1, 2, 3) for names in itertools.combinations(ENDS, count) if names != ("-lock",)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def engine(path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """One that has put a job, in a folder that has not changed since."""
    monkeypatch.setattr(folder, "SETTLED", 0.05)
    engine = open_engine(f"sqlite:///{path}?synchronous=NORMAL")
    put(engine)
    settle(engine)
    yield engine  # type: ignore[misc]
    engine.close()


def settle(engine: Engine) -> None:
    def is_settled() -> bool:
        engine.stats()
        return is_trusted(engine)

    eventually(is_settled)
    put(engine)
    assert is_trusted(engine)


def is_trusted(engine: Engine) -> bool:
    store = engine._store  # type: ignore[attr-defined]
    return bool(store._is_in_order(store._mark_now()))


def available(engine: Engine) -> int:
    return sum(row.available for row in engine.stats().queues)


def look(engine: Engine) -> object:
    return engine.stats()


@pytest.mark.parametrize("call", [put, look])
@pytest.mark.parametrize("names", REMOVED)
def test_a_log_that_is_removed_is_saved(
    engine: Engine, path: Path, names: tuple[str, ...], call: Callable[[Engine], object]
) -> None:
    for name in names:
        os.unlink(f"{path}{name}")
    with pytest.raises(EngineGone, match="is saved in the file"):
        call(engine)
    put(engine)
    assert available(engine) == 3


@pytest.mark.parametrize("call", [put, look])
def test_a_file_that_is_removed_is_told(engine: Engine, path: Path, call: Callable[[Engine], object]) -> None:
    path.unlink()
    with pytest.raises(Exception, match=r"was removed|there is no queue"):
        call(engine)


def test_a_folder_that_is_replaced_is_told(engine: Engine, path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()
    with pytest.raises(EngineGone, match="was removed"):
        put(engine)


def test_a_copy_put_in_its_place_is_noticed_though_the_times_are_the_old_ones(engine: Engine, path: Path) -> None:
    """As tools do that restore a backup: they give the folder its old ``mtime``."""
    times = os.stat(path.parent)
    shutil.copy2(path, f"{path}.new")
    os.replace(f"{path}.new", path)
    os.utime(path.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(EngineGone):
        put(engine)


def test_a_lock_that_is_removed_is_made_anew(engine: Engine, path: Path) -> None:
    os.unlink(f"{path}-lock")
    put(engine)
    assert os.path.exists(f"{path}-lock")
    assert available(engine) == 3


def test_a_file_behind_a_link_is_looked_at_each_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SETTLED", 0.0)
    real = path.parent / "real" / "jobs.db"
    real.parent.mkdir()
    path.symlink_to(real)
    engine = open_engine(f"sqlite:///{path}?synchronous=NORMAL")
    put(engine)
    put(engine)
    assert not is_trusted(engine)
    engine.close()


def test_a_mark_counts_only_when_the_next_change_must_look_different(tmp_path: Path) -> None:
    assert folder.mark_of(str(tmp_path)) is None
    with pytest.raises(OSError):
        folder.mark_of(str(tmp_path / "none"))


def test_a_listener_that_comes_later_is_woken(engine: Engine) -> None:
    first = engine.listener("work")
    eventually(lambda: folder.mark_of(engine._bells._folder) is not None)  # type: ignore[attr-defined]
    put(engine)  # lists who listens
    second = engine.listener("work")
    put(engine)
    for listener in (first, second):
        listener.wait(30.0)  # at once
        listener.close()
