"""The tables of the queue, in each database that a backend of the settings keeps its jobs in."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError

from steadypool.contrib.django.tables import make_tables


def refuse(*_: Any) -> None:
    """The tables hold jobs."""
    raise IrreversibleError(
        "The tables of the queue hold jobs, and are not removed by a migration. To remove them by hand: "
        "DROP SCHEMA steadypool CASCADE, and manage.py migrate --fake steadypool zero."
    )


class Migration(migrations.Migration):
    """See above."""

    initial = True
    atomic = False  # what a file is written by is changed outside of a transaction
    dependencies: tuple[Any, ...] = ()
    operations = (
        migrations.CreateModel(
            name="Job",
            fields=[("id", models.CharField(max_length=64, primary_key=True, serialize=False))],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "permissions": (("act_on_job", "Can retry, cancel and discard jobs, and pause queues"),),
                "managed": False,
                "default_permissions": ("view",),
            },
        ),
        migrations.RunPython(make_tables, refuse),
    )
