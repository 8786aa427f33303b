"""Write down each signal of the framework that is about a task named in ``PROJECT_SIGNALS``, and say of each connection
to PostgreSQL how many this process has now."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

from tests.durable.engine.postgres.sockets import connections_like

signals = import_module(f"{settings.FRAMEWORK}.signals")


def note(name: str, task_result: Any) -> None:
    from shop.models import Signal

    if task_result.task.name in os.environ.get("PROJECT_SIGNALS", "").split(","):
        error = sys.exc_info()[1]
        status, process = str(task_result.status.value), os.getpid()
        Signal.objects.create(name=name, job=task_result.id, status=status, process=process, error=repr(error))


def count(sender: type, connection: Any, **_: Any) -> None:
    if connection.vendor == "postgresql":
        now = connections_like(connection.connection.fileno())
        os.write(2, f"{os.getpid()} has {now} connections\n".encode())


def enqueued(sender: type, task_result: Any, **_: Any) -> None:
    note("enqueued", task_result)


def started(sender: type, task_result: Any, **_: Any) -> None:
    note("started", task_result)


def finished(sender: type, task_result: Any, **_: Any) -> None:
    note("finished", task_result)


signals.task_enqueued.connect(enqueued)
signals.task_started.connect(started)
signals.task_finished.connect(finished)
connection_created.connect(count)
