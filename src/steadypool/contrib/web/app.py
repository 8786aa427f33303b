"""`dashboard`: the WSGI application.

A request goes through these, in this order: what it says (`request`), who sends it (``access``), which page it is for;
a change also through where it comes from (`guards`) and whether its user may do that. Whatever goes wrong on the way is
a page with a sentence, and never a traceback.

Nothing here runs code of the queue's tasks, makes a job of anyone's choice, or changes arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from steadypool.contrib.web.access import Access
from steadypool.contrib.web.answer import HTML, Answer, Refusal, not_found
from steadypool.contrib.web.asgi_app import AsgiApp
from steadypool.contrib.web.audit import Audit
from steadypool.contrib.web.changes import Changes
from steadypool.contrib.web.django_urls import urls_of
from steadypool.contrib.web.guards import check_same_origin
from steadypool.contrib.web.look import Look, Page
from steadypool.contrib.web.pages import (
    batches,
    confirm,
    errors,
    job,
    jobs,
    limits,
    overview,
    pools,
    queues,
    schedules,
    workers,
)
from steadypool.contrib.web.render import Renderer
from steadypool.contrib.web.request import Fields, Request
from steadypool.contrib.web.shown import Arguments, line
from steadypool.contrib.web.store import TIMEOUT, Reader
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.errors import EngineBusy, EngineError, SchemaMismatch

AccessOf = Callable[[Request], Access]
PAGES: dict[str, Callable[[Look], Page]] = {
    "/": overview.page,
    "/jobs": jobs.page,
    "/job": job.page,
    "/confirm": confirm.page,
    "/errors": errors.page,
    "/schedules": schedules.page,
    "/queues": queues.page,
    "/limits": limits.page,
    "/batches": batches.page,
    "/batch": batches.one,
    "/workers": workers.page,
    "/pools": pools.page,
}
NAVIGATION = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/errors", "Errors"),
    ("/schedules", "Schedules"),
    ("/queues", "Queues"),
    ("/limits", "Limits"),
    ("/batches", "Batches"),
    ("/workers", "Workers"),
    ("/pools", "Pools"),
)
DONE = "/do/"
FRAGMENT = "x-steadypool-fragment"
_LOG = logging.getLogger("steadypool.web")


def dashboard(
    queue: Queue,
    *,
    access: AccessOf | Access,
    arguments: Arguments = "hidden",
    audit: Audit | None = None,
    title: str = "",
) -> Dashboard:
    """Make the pages of a queue, as a WSGI application that can be mounted anywhere.

    Args:
        queue: the queue.
        access: called with each request: says who it is from and what they may do. Or one `Access` for all requests.
        arguments: how the arguments of jobs are shown: ``"hidden"``, ``"shown"``, or a function that is called with a
            job's record and returns the text to show on its page.
        audit: called with a `WebAction` for each change.
        title: what the pages are called, by default the place of the queue.

    Raises:
        TypeError: one of them does not fit.
        ImportError: Jinja2 is not installed.
    """
    if not isinstance(queue, Queue):
        raise TypeError(f"dashboard needs a queue, as in dashboard(queue, access=...), not {queue!r}")
    if not callable(access) and not isinstance(access, Access):
        raise TypeError(
            f"access must be a function of the request that returns an Access, or an Access, not {access!r}"
        )
    if arguments not in ("hidden", "shown") and not callable(arguments):
        raise TypeError(f"arguments must be 'hidden', 'shown' or a function of a job's record, not {arguments!r}")
    if audit is not None and not callable(audit):
        raise TypeError(f"audit must be a function, called with each WebAction, not {audit!r}")
    if not isinstance(title, str):
        raise TypeError(f"title must be a text, not {title!r}")
    return Dashboard(queue, access, arguments, audit, title)


class Dashboard:
    """The application that `dashboard` makes. Any thread may call it."""

    def __init__(
        self, queue: Queue, access: AccessOf | Access, arguments: Arguments, audit: Audit | None, title: str
    ) -> None:
        self._access = access
        self._arguments = arguments
        self._title = title
        self._queue = queue
        self._renderer = Renderer()
        self._headers = self._renderer.headers
        self._reader = Reader(queue)
        self._changes = Changes(queue, self._reader, audit)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        answer = self._answer(environ)
        kind = () if any(name == "Content-Type" for name, _ in answer.headers) else (("Content-Type", HTML),)
        length = ("Content-Length", str(len(answer.body)))
        start_response(answer.status, [*kind, length, *self._headers, *answer.headers])
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    def as_asgi(self) -> AsgiApp:
        """The same for FastAPI, Starlette, Litestar: ``app.mount("/jobs", dashboard(...).as_asgi())``."""
        return AsgiApp(self)

    def as_django(self) -> list[Any]:
        """The same for Django: ``path("ops/jobs/", include(dashboard(...).as_django()))``.

        ``request.environ["django.request"].user`` is there for ``access``.
        """
        return urls_of(self)

    def close(self) -> None:
        """Give the connection back with which pages are read; the next request opens another."""
        self._reader.close()

    # -- from a request to an answer

    def _answer(self, environ: dict[str, Any]) -> Answer:
        request, access = None, Access.none()
        try:
            request = Request.of(environ)
            access = self._access_of(request)
            return self._answer_to(request, access)
        except Refusal as refusal:
            return self._sorry(request, access, refusal)
        except EngineBusy:
            text = f"The database has not answered within {TIMEOUT:g} seconds. Narrow the filter, or look again later."
            return self._sorry(request, access, Refusal("503 Service Unavailable", text))
        except (EngineError, SchemaMismatch) as error:
            return self._sorry(request, access, Refusal("503 Service Unavailable", line(error)))
        except Exception:
            _LOG.exception("a page could not be made")
            text = "This page could not be made. The log of the server says why."
            return self._sorry(request, access, Refusal("500 Internal Server Error", text))

    def _access_of(self, request: Request) -> Access:
        access = self._access(request) if not isinstance(self._access, Access) else self._access
        if not isinstance(access, Access):
            raise TypeError(f"access must return Access.none(), Access.read(...) or Access.act(...), not {access!r}")
        if not access.sees:
            raise Refusal("403 Forbidden", "You may not see these pages.")
        return access

    def _answer_to(self, request: Request, access: Access) -> Answer:
        if request.method == "POST":
            return self._change(request, access)
        if request.method not in ("GET", "HEAD"):
            raise Refusal(
                "405 Method Not Allowed", "There are only GET and POST here.", (("Allow", "GET, HEAD, POST"),)
            )
        make = PAGES.get(request.path)
        if make is None:
            raise not_found()
        return self._rendered(request, access, make(Look(request, access, self._reader, self._arguments)))

    def _change(self, request: Request, access: Access) -> Answer:
        check_same_origin(request)
        action = request.path.removeprefix(DONE)
        if not request.path.startswith(DONE) or not self._changes.has(action):
            raise not_found()
        if action not in access.actions:
            raise Refusal("403 Forbidden", f"{access.user} may not do that here.")
        done = self._changes.do(action, request, access, self._arguments == "shown")
        if isinstance(done, Page):
            return self._rendered(request, access, done)
        return Answer("303 See Other", b"", (("Location", f"{request.prefix}{done}"),))

    def _rendered(self, request: Request, access: Access, page: Page) -> Answer:
        is_fragment = request.headers.get(FRAGMENT) == "1"
        body = self._renderer.render(
            page.template,
            layout="fragment.html" if is_fragment else "layout.html",
            page=page,
            title=self._title or self._place(),
            prefix=request.prefix,
            path=request.path,
            navigation=NAVIGATION,
            user=access.user,
            may=access.actions,
            said=request.query.get("said"),
            **page.values,
        )
        return Answer(page.status, body)

    def _sorry(self, request: Request | None, access: Access, refusal: Refusal) -> Answer:
        """A page that says what is wrong; to one who may see no page it shows nothing else."""
        status = HTTPStatus(int(refusal.status[:3]))
        page = Page("sorry", status.phrase, {"text": refusal.text, "sees": access.sees}, refusal.status, moves=False)
        asked = request or Request("GET", "", "", {}, {}, Fields([]))
        answer = self._rendered(asked, access, page)
        return Answer(answer.status, answer.body, refusal.headers)

    def _place(self) -> str:
        try:
            return self._reader.queue.engine.url
        except (ValueError, EngineError):
            return "Steadypool"
