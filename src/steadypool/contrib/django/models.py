"""What the admin, and rights, know of jobs. The tables are the queue's own: no model has one of Django's."""

from __future__ import annotations

from django.db import models


class Job(models.Model):
    """A job of a queue. It is looked at and changed by way of the queue alone, and never by a query of this model."""

    id = models.CharField(primary_key=True, max_length=64)

    class Meta:
        """It has rights, and no table."""

        managed = False
        default_permissions = ("view",)
        permissions = (("act_on_job", "Can retry, cancel and discard jobs, and pause queues"),)
        verbose_name = "job"
        verbose_name_plural = "jobs"

    def __str__(self) -> str:
        return str(self.id)
