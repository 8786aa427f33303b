"""Mounted in other applications, below a path: links, forms and the user's name go through."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steadypool import JobState, Queue
from steadypool.contrib.web import Access, Request, WebAction, dashboard
from tests.durable import app as durable_app

PREFIX = "/ops/jobs"
DJANGO = str(Path(__file__).with_name("django_site.py"))
ROOT = Path(__file__).parents[3]
Get = Callable[[str], tuple[int, str]]
Post = Callable[[str, dict[str, str], dict[str, str]], tuple[int, str]]


def access(request: Request) -> Access:
    scope: Any = request.environ.get("asgi.scope", {})
    assert request.prefix == PREFIX and scope.get("type") in (None, "http")
    return Access.act(request.headers.get("x-user", "ann"))


@pytest.fixture
def told() -> list[WebAction]:
    return []


@pytest.fixture
def board(queue: Queue, told: list[WebAction]) -> Iterator[Any]:
    queue.engine.migrate()
    made = dashboard(queue, access=access, audit=told.append)
    yield made
    made.close()


def in_flask(board: Any) -> tuple[Get, Post]:
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    flask = Flask(__name__)
    flask.wsgi_app = DispatcherMiddleware(flask.wsgi_app, {PREFIX: board})  # type: ignore[method-assign]
    client = flask.test_client()

    def get(path: str) -> tuple[int, str]:
        answer = client.get(path)
        return answer.status_code, answer.text

    def post(path: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, str]:
        answer = client.post(path, data=form, headers=headers)
        return answer.status_code, answer.headers.get("Location", "")

    return get, post


def over_asgi(app: Any, root_path: str = "") -> tuple[Get, Post]:
    from starlette.testclient import TestClient

    client = TestClient(app, follow_redirects=False, root_path=root_path)

    def get(path: str) -> tuple[int, str]:
        answer = client.get(path)
        return answer.status_code, answer.text

    def post(path: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, str]:
        answer = client.post(path, data=form, headers=headers)
        return answer.status_code, answer.headers.get("location", "")

    return get, post


def in_starlette(board: Any) -> tuple[Get, Post]:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return over_asgi(Starlette(routes=[Mount(PREFIX, board.as_asgi())]))


def in_fastapi(board: Any) -> tuple[Get, Post]:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount(PREFIX, board.as_asgi())
    return over_asgi(app)


def behind_a_proxy(board: Any) -> tuple[Get, Post]:
    """It takes the prefix away, and the server is told of it (``uvicorn --root-path``)."""
    get, post = over_asgi(board.as_asgi(), PREFIX)
    return (
        lambda path: get(path.removeprefix(PREFIX) or "/"),
        lambda path, form, headers: post(path.removeprefix(PREFIX), form, headers),
    )


@pytest.mark.parametrize("mount", [in_flask, in_starlette, in_fastapi, behind_a_proxy])
def test_links_and_forms_below_a_path(
    mount: Callable[[Any], tuple[Get, Post]], board: Any, queue: Queue, told: list[WebAction]
) -> None:
    get, post = mount(board)
    job = durable_app.add.options(delay=60).enqueue(1).job_id
    status, html = get(f"{PREFIX}/")
    assert status == 200 and f'href="{PREFIX}/jobs"' in html and 'href="/jobs"' not in html
    status, html = get(f"{PREFIX}/jobs")
    assert status == 200 and f'href="{PREFIX}/job?id={job}"' in html and f'action="{PREFIX}/confirm"' in html
    form = {"what": "job", "id": job, "back": "job"}
    ours = {"Sec-Fetch-Site": "same-origin", "X-User": "bob"}
    assert post(f"{PREFIX}/do/cancel", form, {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert post(f"{PREFIX}/do/cancel", form, ours) == (303, f"{PREFIX}/job?id={job}&said=cancel")
    assert queue.record(job).state is JobState.CANCELLED
    assert [(one.user, one.action, one.ids) for one in told] == [("bob", "cancel", (job,))]
    assert get(f"{PREFIX}/nowhere")[0] == 404


def test_a_server_of_asgi_starts_and_stops_it(board: Any) -> None:
    from starlette.testclient import TestClient

    with TestClient(board.as_asgi(), root_path=PREFIX) as client:
        assert client.get("/queues").status_code == 200
        assert (
            client.post(
                "/do/cancel",
                content=b"x" * 1_000_000,
                headers={
                    "content-type": "application/x-www-form-urlencoded",
                    "sec-fetch-site": "same-origin",
                },
            ).status_code
            == 413
        )


def test_in_django(queue: Queue, url: str) -> None:
    """In a process of its own: Django has one set of settings for each."""
    job = durable_app.add.options(delay=60).enqueue(1).job_id
    ended = subprocess.run(
        [sys.executable, DJANGO, url, job], capture_output=True, text=True, timeout=50, check=False, cwd=ROOT
    )
    assert (ended.stdout, ended.stderr) == ("anonymous: 403\nstaff: 200\ncross-site: 403\nours: 303\n", "")
    assert queue.record(job).state is JobState.CANCELLED
