import time

from django.tasks import task

from rows.models import Row


@task
def nothing(number: int) -> int:
    """A job that does nothing."""
    return number


@task
def save(number: int) -> None:
    """A job that saves a row."""
    Row.objects.create(name=str(number))


@task
def sleep(seconds: float) -> None:
    """A job that takes its time."""
    time.sleep(seconds)
