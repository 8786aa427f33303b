"""The app's place among those that are installed."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class SteadypoolConfig(AppConfig):
    """See `steadypool.contrib.django`."""

    name = "steadypool.contrib.django"
    label = "steadypool"
    verbose_name = "Steadypool"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have what is wrong with settings, tasks and tables said by ``manage.py check``."""
        import_module("steadypool.contrib.django.system_checks")
