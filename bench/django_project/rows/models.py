from django.db import models


class Row(models.Model):
    """What a job saves."""

    name = models.CharField(max_length=50)
