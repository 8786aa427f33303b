"""The pages among the addresses of a Django site.

Django's own guard against forms of other sites is left out: there is one here, which needs no token. Its middleware has
run by then, so ``access`` finds the user who is logged in.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


def urls_of(wsgi: Wsgi) -> list[Any]:
    """What ``include`` takes."""
    path = import_module("django.urls").path
    view = _view_of(wsgi)
    return [path("", view), path("<path:rest>", view)]


def _view_of(wsgi: Wsgi) -> Callable[..., Any]:
    http = import_module("django.http")

    def view(request: Any, rest: str = "") -> Any:
        started: list[Any] = []
        body = b"".join(wsgi(_environ_of(request, rest), lambda status, headers: started.extend((status, headers))))
        status, headers = started
        answer = http.HttpResponse(body, status=int(status[:3]))
        for name, value in headers:
            answer[name] = value
        return answer

    exempt: Callable[..., Any] = import_module("django.views.decorators.csrf").csrf_exempt(view)
    return exempt


def _environ_of(request: Any, rest: str) -> dict[str, Any]:
    """The request as WSGI has it, from the place on at which the pages stand."""
    place: str = request.path[: len(request.path) - len(rest)].rstrip("/")
    return {
        **{name: value for name, value in request.META.items() if isinstance(value, str)},
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": place.encode().decode("latin-1"),
        "PATH_INFO": f"/{rest}".encode().decode("latin-1"),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "django.request": request,
    }
