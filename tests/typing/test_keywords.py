"""What type checkers know of `Queue.work` is what `WorkerSettings` has."""

from __future__ import annotations

from dataclasses import fields

from steadypool.durable.worker.settings import WorkerKeywords, WorkerSettings


def test_the_keywords_are_the_settings() -> None:
    known = {name: hint.__forward_arg__ for name, hint in WorkerKeywords.__annotations__.items()}
    assert known == {field.name: field.type for field in fields(WorkerSettings)}
