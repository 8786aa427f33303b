"""The jobs of the queues in Django's admin: a list by pages, one job with its attempts, and what can be done to it.

A page is read by way of the queue, from the latest job on, and the next one by the number of its last job. Nothing is
counted, and a page passes over so many rows at most, however many jobs there are. What changes a job needs the right
``steadypool.act_on_job``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.http import urlencode

from steadypool.contrib.django.backend import SteadypoolBackend
from steadypool.contrib.django.job_text import PASSED_OVER, details_of, row_of
from steadypool.contrib.django.models import Job
from steadypool.contrib.django.system_checks import usable
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.errors import UnknownJob, WrongState
from steadypool.durable.engine.pages import JobPage
from steadypool.durable.engine.records import JobFilter
from steadypool.durable.engine.states import JobState

PAGE = 50
RIGHT = "steadypool.act_on_job"
Act = Callable[[Queue, str], object]
ACTIONS: dict[str, tuple[Act, str]] = {
    "retry": (lambda queue, job: queue.retry(job), "will run again"),
    "cancel": (lambda queue, job: _cancel(queue, job), "cancelled, or asked to stop"),
    "discard": (lambda queue, job: queue.discard(job), "given up"),
}
"""What can be done to a job, and what has become of it then."""
QUEUE_ACTIONS: dict[str, tuple[Act, str]] = {
    "pause": (lambda queue, name: queue.pause(name), "is paused"),
    "resume": (lambda queue, name: queue.resume(name), "goes on"),
}


def _cancel(queue: Queue, job: str) -> None:
    if not queue.cancel(job):
        raise WrongState(f"job {job!r} has ended", state="")


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    """See above."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs are enqueued by tasks."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing of a job is edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Records go when their time to be kept is over."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may act on jobs may look at them."""
        return super().has_view_permission(request, obj) or self.may_act(request)

    def may_act(self, request: HttpRequest) -> bool:
        """Whether the user may retry, cancel and discard jobs, and pause queues."""
        return bool(request.user.has_perm(RIGHT))

    def get_urls(self) -> list[Any]:
        """The list, and one job."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="steadypool_job_changelist"),
            path("<path:object_id>/change/", view(self.change_view), name="steadypool_job_change"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A page of jobs; posted to, it changes those that are chosen."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        backend = chosen_backend(request)
        if request.method == "POST":
            return self._act(request, backend, request.POST.getlist("job"), request.get_full_path())
        query = Query(request, backend)
        page = query.page()
        context = {
            **self._context(request, backend, "Jobs"),
            "query": query,
            "rows": [row_of(record) for record in page.records],
            "next": "" if page.below is None else query.after(page.below),
            "is_cut": page.is_cut,
            "depths": backend.queue.engine.depths(sorted(backend.queues)),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "steadypool/jobs.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One job; posted to, it changes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        backend = chosen_backend(request)
        if request.method == "POST":
            return self._act(request, backend, [object_id], request.get_full_path())
        try:
            record = backend.queue.record(object_id)
        except UnknownJob as error:
            raise Http404(str(error)) from error
        details = details_of(record)
        context = {**self._context(request, backend, record.id), "record": record, **details, **(extra_context or {})}
        return TemplateResponse(request, "steadypool/job.html", context)

    def _context(self, request: HttpRequest, backend: SteadypoolBackend, title: str) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.model._meta,
            "backend": backend,
            "backends": [one.alias for one in usable()],
            "may_act": self.may_act(request),
        }

    def _act(
        self, request: HttpRequest, backend: SteadypoolBackend, jobs: Sequence[str], back: str
    ) -> HttpResponseRedirect:
        if not self.may_act(request):
            raise PermissionDenied
        named, _, of_queue = request.POST.get("action", "").partition(":")
        if named in QUEUE_ACTIONS and of_queue:
            act, what = QUEUE_ACTIONS[named]
            act(backend.queue, of_queue)
            self.message_user(request, f"The queue {of_queue} {what}.", messages.SUCCESS)
        elif named not in ACTIONS:
            self.message_user(request, "Choose what is to be done.", messages.WARNING)
        elif not jobs:
            self.message_user(request, "Choose the jobs to which it is to be done.", messages.WARNING)
        else:
            self._act_on(request, backend, named, jobs)
        return HttpResponseRedirect(back)

    def _act_on(self, request: HttpRequest, backend: SteadypoolBackend, named: str, jobs: Sequence[str]) -> None:
        act, what = ACTIONS[named]
        done = 0
        for job in jobs:
            try:
                act(backend.queue, job)
            except (WrongState, UnknownJob) as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                done += 1
                self.log_change(request, Job(id=job), f"{named} by hand")
        if done:
            self.message_user(request, f"{done} job{'' if done == 1 else 's'}: {what}.", messages.SUCCESS)


class Query:
    """What a list shows, as the address has it."""

    def __init__(self, request: HttpRequest, backend: SteadypoolBackend) -> None:
        given = request.GET
        self._backend = backend
        self.fields = {name: given.get(name, "").strip() for name in ("state", "queue", "task", "tag")}
        self.below = given.get("below", "")
        self.states = [state.value for state in JobState]
        self.queues = sorted(backend.queues)

    def page(self) -> JobPage:
        """The jobs."""
        state, queue, task, tag = self.fields.values()
        which = JobFilter(
            states=frozenset({JobState(state)} if state in self.states else JobState),
            queue=queue or None,
            task=task or None,
            tags=(tag,) if tag else (),
            below=int(self.below) if self.below.isascii() and self.below.isdigit() else None,
            limit=PAGE,
        )
        return self._backend.queue.engine.figures.page(which, PASSED_OVER, arguments=True)

    def after(self, number: int) -> str:
        """The address of the page behind the job of that number."""
        given = {name: value for name, value in self.fields.items() if value}
        return f"?{urlencode({**given, 'backend': self._backend.alias, 'below': number})}"


def chosen_backend(request: HttpRequest) -> SteadypoolBackend:
    """The backend that the address names, or the first of the settings.

    Raises:
        Http404: there is none.
    """
    known = {backend.alias: backend for backend in usable()}
    if not known:
        raise Http404("TASKS has no SteadypoolBackend")
    alias = request.GET.get("backend") or ("default" if "default" in known else next(iter(known)))
    if alias not in known:
        raise Http404(f"TASKS has no SteadypoolBackend {alias!r}")
    return known[alias]
