"""Floor 7, Django's Tasks framework on a durable queue: an app for ``INSTALLED_APPS``, a backend for ``TASKS``.

INSTALLED_APPS = [..., "steadypool.contrib.django"]
TASKS = {"default": {"BACKEND": "steadypool.contrib.django.SteadypoolBackend"}}

@task(timeout=60, retry=Retry(5))
def send_receipt(order_id): ...

with transaction.atomic():
    order.save()
    send_receipt.enqueue(order.pk)      # there if and only if the order is

$ python manage.py steadypool work
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import getattr_of

if TYPE_CHECKING:
    from steadypool.contrib.django.backend import SteadypoolBackend
    from steadypool.contrib.django.results import SteadypoolTaskContext, SteadypoolTaskResult
    from steadypool.contrib.django.steadypool_task import SteadypoolTask, task

__all__ = ["SteadypoolBackend", "SteadypoolTask", "SteadypoolTaskContext", "SteadypoolTaskResult", "task"]

_PLACES = {
    "steadypool.contrib.django.backend": "SteadypoolBackend",
    "steadypool.contrib.django.results": "SteadypoolTaskContext SteadypoolTaskResult",
    "steadypool.contrib.django.steadypool_task": "SteadypoolTask task",
}


if not TYPE_CHECKING:  # a type checker would take any name for one that exists
    __getattr__ = getattr_of(__name__, _PLACES)
