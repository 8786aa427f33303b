"""The page on Django has every option and every setting."""

from __future__ import annotations

from dataclasses import fields

from steadypool.contrib.django.options import NAMES
from steadypool.contrib.django.steadypool_task import DECLARED, SteadypoolTask, Task
from tests.docs.pages import names_in, page


def said(table: str) -> set[str]:
    return {name for row in page("django").table(table) for name in names_in(row[0])}


def test_every_option_of_a_task() -> None:
    ours = {field.name for field in fields(SteadypoolTask)} - {field.name for field in fields(Task)}
    assert said("django-options") == ours
    last = [name for row in page("django").table("django-options")[-5:] for name in names_in(row[0])]
    assert set(last) == set(DECLARED)


def test_every_setting() -> None:
    assert said("django-settings") == NAMES
