"""A Django site with the pages in it, and what it answers: ``django_site.py URL JOB``."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.test import Client
from django.urls import include, path

from steadypool import Queue
from steadypool.contrib.web import Access, Request, dashboard

USERS = {"ann": SimpleNamespace(is_staff=True, get_username=lambda: "ann")}
OUTSIDER = SimpleNamespace(is_staff=False, get_username=lambda: "")


class Login:
    """In place of Django's own, which needs a database."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __call__(self, request: Any) -> Any:
        request.user = USERS.get(request.headers.get("X-User", ""), OUTSIDER)
        return self._answer(request)


def access(request: Request) -> Access:
    user = request.environ["django.request"].user
    return Access.act(user.get_username()) if user.is_staff else Access.none()


def main(url: str, job: str) -> None:
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[csrf, f"{__name__}.Login"])
    django.setup()
    queue = Queue(url)
    board = dashboard(queue, access=access)
    globals()["urlpatterns"] = [path("ops/jobs/", include(board.as_django()))]
    client = Client(enforce_csrf_checks=True)
    staff = {"X-User": "ann"}
    print(f"anonymous: {client.get('/ops/jobs/').status_code}")
    page = client.get("/ops/jobs/jobs", headers=staff)
    print(f"staff: {page.status_code}")
    assert f'href="/ops/jobs/job?id={job}"' in page.text and page["X-Frame-Options"] == "DENY"
    form = {"what": "job", "id": job, "back": "job"}
    body = {"data": "&".join(f"{name}={value}" for name, value in form.items())}
    body["content_type"] = "application/x-www-form-urlencoded"
    for site, name in (("cross-site", "cross-site"), ("same-origin", "ours")):
        answer = client.post("/ops/jobs/do/cancel", **body, headers={**staff, "Sec-Fetch-Site": site})
        print(f"{name}: {answer.status_code}")
    assert answer["Location"] == f"/ops/jobs/job?id={job}&said=cancel"
    board.close()
    queue.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
