"""What ``manage.py check`` says of wrong settings, and how the tables come to be."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.exceptions import IrreversibleError
from django.test import TestCase, override_settings

from steadypool.contrib.django import system_checks
from steadypool.contrib.django.framework import task_backends

OURS = settings.OURS


def said(**backend: Any) -> list[tuple[str, str]]:
    """Ids and texts of what is wrong with these settings."""
    with override_settings(TASKS={"default": {"BACKEND": OURS, **backend}}):
        found = task_backends["default"].check()
        return [(message.id.removeprefix("steadypool."), f"{message.msg} {message.hint or ''}") for message in found]


@pytest.mark.parametrize(
    ("backend", "number", "text"),
    [
        ({"OPTIONS": {"databse": "default"}}, "E001", "'databse', which is no option. Did you mean 'database'?"),
        ({"OPTIONS": {"database": "jobs"}}, "E003", "is 'jobs', and DATABASES has 'default', 'other'"),
        ({"OPTIONS": {"url": "mysql://x/y"}}, "E004", "there is no engine for mysql://"),
        ({"OPTIONS": {"url": "sqlite:///a.db", "database": "default"}}, "E004", "has url and database"),
        ({"OPTIONS": {"keep": -1}}, "E005", "keep"),
        ({"OPTIONS": {"keep": None}}, "E005", "keep must be a number of seconds"),
        ({"OPTIONS": {"max_payload": "1 MB"}}, "E005", "max_payload"),
        ({"OPTIONS": {"modules": "jobs"}}, "E005", "is a text. Make it a list: ['jobs']"),
        ({"OPTIONS": {"schema": "Queue"}}, "E005", "no name of a schema"),
        ({"QUEUES": "mail"}, "E006", "is a text. Make it a list: ['mail']"),
        ({"QUEUES": ["mail", 5]}, "E006", "5"),
    ],
    ids=str,
)
def test_a_wrong_setting(backend: dict[str, Any], number: str, text: str) -> None:
    assert [one for one in said(**backend) if one[0] == number and text in one[1]], said(**backend)
    with override_settings(TASKS={"default": {"BACKEND": OURS, **backend}}):
        with pytest.raises(ImproperlyConfigured):
            task_backends["default"].queue  # noqa: B018


class Checks(TestCase):
    databases = "__all__"

    def test_settings_that_are_right(self) -> None:
        assert said() == [] and said(QUEUES=[], OPTIONS={"keep": 60, "schema": "jobs", "pooled": True}) == []

    def test_an_app_that_is_not_installed(self) -> None:
        apps = [app for app in settings.INSTALLED_APPS if "steadypool" not in app]
        with self.modify_settings(INSTALLED_APPS={"remove": "steadypool.contrib.django"}):
            assert apps == settings.INSTALLED_APPS
            [(number, text)] = said()
            assert number == "E002" and "is not in INSTALLED_APPS" in text
            task_backends["default"].queue.engine.schema()  # to enqueue it need not be

    def test_a_module_that_cannot_be_imported(self) -> None:
        with override_settings(TASKS={"default": {"BACKEND": OURS, "QUEUES": [], "OPTIONS": {"modules": ["broken"]}}}):
            [error] = system_checks.check_modules()
            assert error.id == "steadypool.E008" and "ZeroDivisionError" in error.msg

    def test_another_store(self) -> None:
        ids = [message.id for message in system_checks.check_places() if "elsewhere" in message.msg]
        assert ids == ["steadypool.W001"]

    def test_a_file_that_others_write_to(self) -> None:
        found = [message for message in system_checks.check_places() if message.id == "steadypool.W005"]
        is_file = connections["other"].vendor == "sqlite"
        assert [message.msg.partition(" is ")[0] for message in found] == ["DATABASES['other']"] * is_file

    def test_tasks_without_a_time_limit(self) -> None:
        named = {message.obj for message in system_checks.check_limits()}
        assert "shop.tasks.noop" in named and "shop.tasks.only_once" not in named

    def test_the_tables(self) -> None:
        assert [one for one in system_checks.check_tables() if "elsewhere" not in one.msg] == []
        if connections["default"].vendor == "postgresql":
            with override_settings(TASKS={"default": {"BACKEND": OURS, "OPTIONS": {"schema": "nowhere"}}}):
                [error] = system_checks.check_tables()
                assert error.id == "steadypool.E009" and "manage.py migrate" in error.hint

    def test_a_backend_of_ours_alone(self) -> None:
        with pytest.raises(CommandError, match=r"backend of TASKS\['stock'\] is .*Immediate"):
            call_command("steadypool", "--backend", "stock", "jobs", "list")
        with pytest.raises(CommandError, match=r"doesn't exist. TASKS has 'default'"):
            call_command("steadypool", "--backend", "nowhere", "jobs")
        with pytest.raises(CommandError, match="Which command"):
            call_command("steadypool")
        with pytest.raises(CommandError, match="needs no settings"):
            call_command("steadypool", "map")


def test_the_migration_makes_tables_and_keeps_them() -> None:
    backend = task_backends["default"]
    schema = backend.queue.engine.schema()
    assert schema.found == schema.wanted and schema.pending == ()
    with pytest.raises(IrreversibleError, match="hold jobs"):
        call_command("migrate", "steadypool", "zero", verbosity=0)
    call_command("makemigrations", "--check", "--dry-run", "steadypool", verbosity=0)
    if connections["default"].vendor == "sqlite":
        with connections["default"].cursor() as cursor:
            assert cursor.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
