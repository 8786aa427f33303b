"""How a dashboard is made, and what is refused at once."""

from __future__ import annotations

from typing import Any

import pytest

from steadypool import Queue
from steadypool.contrib.web import Access, dashboard
from steadypool.contrib.web.access import ACTIONS

QUEUE = Queue("sqlite:///nowhere/jobs.db")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "access"),
        ({"access": None}, "access must be a function"),
        ({"access": "admin"}, "access must be a function"),
        ({"access": Access.read("x"), "arguments": "some"}, "'hidden', 'shown' or a function"),
        ({"access": Access.read("x"), "arguments": True}, "'hidden', 'shown' or a function"),
        ({"access": Access.read("x"), "audit": "log"}, "audit must be a function"),
        ({"access": Access.read("x"), "title": 5}, "title must be a text"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        dashboard(QUEUE, **options)


def test_it_needs_a_queue() -> None:
    with pytest.raises(TypeError, match="needs a queue"):
        dashboard("sqlite:///jobs.db", access=Access.read("x"))  # type: ignore[arg-type]


def test_access() -> None:
    assert not Access.none().sees and Access.read("ann").sees and not Access.read("ann").actions
    assert Access.act("ann").actions == ACTIONS and Access.act("ann", only={"retry"}).actions == {"retry"}
    with pytest.raises(ValueError, match="there is no action 'delete'; there are cancel"):
        Access.act("ann", only={"delete"})
    with pytest.raises(TypeError, match="a set of actions"):
        Access.act("ann", only="retry")
    with pytest.raises(TypeError, match="user must be a name"):
        Access.read("")


def test_a_store_that_is_away_is_said_plainly() -> None:
    from tests.contrib.web.client import Client

    app = dashboard(QUEUE, access=Access.read("ann"))
    for path in ("/", "/jobs", "/job?id=job-1", "/errors", "/schedules", "/queues", "/workers"):
        answer = Client(app).get(path)
        assert answer.status == 503 and "there is no queue at" in answer.text and "Traceback" not in answer.html
    app.close()
