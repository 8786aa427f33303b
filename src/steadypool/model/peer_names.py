"""What other libraries call our options and calls, for errors that name ours."""

from __future__ import annotations

from collections.abc import Collection

_RETRY = "retry=Retry(attempts=4)"
_OURS = {
    # Celery, Dramatiq, RQ, arq, Huey and Procrastinate; arq puts an underscore before some
    "time_limit": "timeout=60",
    "soft_time_limit": "timeout=60",
    "job_timeout": "timeout=60",
    "expires": "total_timeout=3600",
    "ttl": "total_timeout=3600",
    "max_age": "total_timeout=3600",
    "countdown": "delay=60",
    "defer_by": "delay=60",
    "schedule_in": "delay=60",
    "eta": "at=datetime(2030, 1, 1, tzinfo=UTC)",
    "defer_until": "at=datetime(2030, 1, 1, tzinfo=UTC)",
    "schedule_at": "at=datetime(2030, 1, 1, tzinfo=UTC)",
    "max_retries": _RETRY,
    "retries": _RETRY,
    "max_tries": _RETRY,
    "autoretry_for": "retry=Retry(attempts=4, on=OSError)",
    "retry_for": "retry=Retry(attempts=4, on=OSError)",
    "retry_when": "retry=Retry(attempts=4, on=OSError)",
    "throws": "retry=Retry(attempts=4, give_up_on=ValueError)",
    "dont_autoretry_for": "retry=Retry(attempts=4, give_up_on=ValueError)",
    "retry_backoff": "retry=Retry(attempts=4, backoff=10)",
    "retry_delay": "retry=Retry(attempts=4, backoff=10)",
    "default_retry_delay": "retry=Retry(attempts=4, backoff=10)",
    "min_backoff": "retry=Retry(attempts=4, backoff=10)",
    "retry_backoff_max": "retry=Retry(attempts=4, max_backoff=600)",
    "max_backoff": "retry=Retry(attempts=4, max_backoff=600)",
    "result_ttl": "keep=3600",
    "result_expires": "keep=3600",
    "failure_ttl": "keep=3600",
    "keep_result": "keep=3600",
    "ignore_result": "keep=0",
    "store_results": "keep=3600",
    "depends_on": "after=[handle]",
    "queueing_lock": 'unique="report:42"',
    "rate_limit": "limit=Limit(starts=10, per=60)",
    "task_id": 'id="order-42"',
    "job_id": 'id="order-42"',
    "queue_name": 'queue="mail"',
    "routing_key": 'queue="mail"',
    "at_front": "priority=10",
    "link_error": "on_discarded=task",
    "on_failure": "on_discarded=task",
}
_NEEDLESS = {
    "acks_late": "a job is done once its function has ended, and runs again if its worker dies",
    "bind": "in the function, current_job() is the job that runs",
    "pass_context": "in the function, current_job() is the job that runs",
}
_CALLS = (
    *("delay", "apply_async", "delay_on_commit", "send", "send_with_options", "send_task", "kiq", "schedule", "defer"),
    *("defer_async", "submit", "enqueue", "enqueue_call", "enqueue_at", "enqueue_in", "enqueue_job"),
)
_SIGNATURES = ("s", "si", "signature", "subtask", "message")


def ours_for(name: str, known: Collection[str]) -> str | None:
    """An option among *known*, with a value, that does what another library calls *name*; ``None`` if there is none."""
    ours = _OURS.get(name.lstrip("_"))
    return ours if ours is not None and ours.partition("=")[0] in known else None


def unknown_option(name: str, known: Collection[str]) -> str:
    """What to say of an option that is not among those *known*."""
    import difflib  # for a mistake alone

    near = difflib.get_close_matches(name, known, 1)
    if (ours := ours_for(name, known)) is not None:
        hint = f"here it is {ours}"
    elif name in _NEEDLESS:
        hint = f"leave it out: {_NEEDLESS[name]}"
    else:
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(sorted(known))}"
    return f'unknown option "{name}": {hint}'


def missing_attribute(owner: object, name: str, what: str, call: str, signature: str) -> str:
    """What to say of an attribute that *owner* lacks: *call* for what calls a task elsewhere, or *signature*."""
    advice = call if name in _CALLS else signature if name in _SIGNATURES else None
    if advice is None:
        return f"{type(owner).__name__!r} object has no attribute {name!r}"
    return f"{what} has no {name!r}: {advice}"
