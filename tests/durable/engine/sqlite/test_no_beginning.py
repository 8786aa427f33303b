"""A worker that cannot use its file when it begins: one line, and exit code 2."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.durable.programs import start_worker


def end_of_worker(url: str, monkeypatch: pytest.MonkeyPatch, kind: str = "thread") -> str:
    monkeypatch.setenv("STEADYPOOL_URL", url)
    worker = start_worker("--kind", kind, "--until-empty")
    code = worker.end()
    said = "".join(worker.said)
    assert code == 2 and said.count("\n") == 1 and said.startswith("Error: "), said
    return said


def test_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no folder" in end_of_worker(f"sqlite:///{tmp_path}/none/jobs.db", monkeypatch)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "jobs.db").write_text("not a database, but a text of more than a hundred characters\n" * 20)
    assert "not a database" in end_of_worker(f"sqlite:///{tmp_path}/jobs.db", monkeypatch, kind)


def test_a_folder_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs.db").mkdir()
    end_of_worker(f"sqlite:///{tmp_path}/jobs.db", monkeypatch)


def test_locked_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("CREATE TABLE t (n)")
        file.execute("BEGIN IMMEDIATE")
        assert "locked" in end_of_worker(f"sqlite:///{tmp_path}/jobs.db", monkeypatch)
