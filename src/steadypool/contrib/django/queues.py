"""Each backend's queue by its alias, for ``steadypool work steadypool.contrib.django.queues:default``.

It has every task of the installed apps then.
"""

from __future__ import annotations

from typing import Any


def __getattr__(alias: str) -> Any:
    if alias.startswith("__"):
        raise AttributeError(alias)
    from steadypool.contrib.django import registry
    from steadypool.contrib.django.framework import InvalidTaskBackend, task_backends

    registry.set_up()
    try:
        backend = task_backends[alias]
    except InvalidTaskBackend as error:
        raise AttributeError(str(error)) from error
    queue = backend.queue
    registry.declare_all(queue, alias, tuple(backend.steadypool_options.modules))
    return queue
