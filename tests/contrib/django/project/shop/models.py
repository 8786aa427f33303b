from __future__ import annotations

from django.db import models


class Order(models.Model):
    number = models.IntegerField(unique=True)
    note = models.CharField(max_length=200, default="")


class Signal(models.Model):
    """One of the framework's signals that was received."""

    name = models.CharField(max_length=20)
    job = models.CharField(max_length=64)
    status = models.CharField(max_length=20)
    process = models.IntegerField()
    error = models.CharField(max_length=200, default="")
