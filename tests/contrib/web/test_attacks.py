"""What another site, another user or a job's own texts might try: each attack by itself, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from steadypool import JobState, Queue
from steadypool.contrib.web import Access, Request
from steadypool.contrib.web.guards import check_same_origin
from steadypool.durable.engine.records import AttemptError, NewJob, Settlement, Verdict
from tests.contrib.web.client import Client
from tests.durable import app

PAGES = ("/", "/jobs", "/errors", "/schedules", "/queues", "/workers", "/pools", "/limits", "/batches")


def some_job(queue: Queue) -> str:
    return app.add.options(delay=3600).enqueue(1).job_id


# -- forms of others

FOREIGN = {
    "another site": {"Sec_Fetch_Site": "cross-site"},
    "another host of the same site": {"Sec_Fetch_Site": "same-site"},
    "typed, or from a bookmark": {"Sec_Fetch_Site": "none"},
    "a browser that says nothing": {"Sec_Fetch_Site": ""},
    "an old browser, another origin": {"Sec_Fetch_Site": "", "Origin": "http://evil.example"},
    "another port": {"Sec_Fetch_Site": "", "Origin": "http://127.0.0.1:81"},
    "a host that begins like ours": {"Sec_Fetch_Site": "", "Origin": "http://127.0.0.1.evil.example"},
    "a host as a user's name": {"Sec_Fetch_Site": "", "Origin": "http://127.0.0.1@evil.example"},
    "a sandboxed frame": {"Sec_Fetch_Site": "", "Origin": "null"},
    "a file": {"Sec_Fetch_Site": "", "Origin": "file://"},
    "no origin at all": {"Sec_Fetch_Site": "", "Origin": "http://"},
    "a port that is none": {"Sec_Fetch_Site": "", "Origin": "http://127.0.0.1:x"},
    "both, which differ": {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1"},
}


@pytest.mark.parametrize("how", FOREIGN)
def test_a_form_of_another_site_changes_nothing(client: Client, queue: Queue, how: str) -> None:
    job = some_job(queue)
    answer = client.post("/do/cancel", [("what", "job"), ("id", job)], **FOREIGN[how])
    assert answer.status == 403 and "nothing was changed" in answer.text
    assert queue.record(job).state is JobState.SCHEDULED


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("jobs.example", "https://jobs.example"),  # TLS ends at a proxy
        ("jobs.example:8443", "https://jobs.example:8443"),
        ("jobs.example:80", "http://jobs.example"),
        ("[::1]:8090", "http://[::1]:8090"),
    ],
)
def test_our_own_form_over_plain_http(client: Client, queue: Queue, host: str, origin: str) -> None:
    job = some_job(queue)
    headers = {"Sec_Fetch_Site": "", "Origin": origin, "Host": host}
    assert client.post("/do/cancel", [("what", "job"), ("id", job)], **headers).status == 200
    assert queue.record(job).state is JobState.CANCELLED


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_there_are_no_other_methods(client: Client, method: str) -> None:
    assert client.get("/do/cancel", method).status == 405


def test_a_change_by_get_is_none(client: Client, queue: Queue) -> None:
    job = some_job(queue)
    for path in (f"/do/cancel?what=job&id={job}", "/do/pause?what=queue&name=default", "/do/run"):
        assert client.get(path).status == 404
    assert queue.record(job).state is JobState.SCHEDULED


@pytest.mark.parametrize(
    ("kind", "status"), [("text/plain", 415), ("multipart/form-data; boundary=x", 415), ("application/json", 415)]
)
def test_a_body_that_is_no_form(client: Client, queue: Queue, kind: str, status: int) -> None:
    job = some_job(queue)
    assert client.post("/do/cancel", [("what", "job"), ("id", job)], Content_Type=kind).status == status
    assert queue.record(job).state is JobState.SCHEDULED


def test_a_form_without_end(client: Client) -> None:
    assert client.post("/do/cancel", [("id", "x" * 100_000)]).status == 413
    assert client.post("/do/cancel", [("id", "x")] * 1000).status == 400


def test_the_guard_itself() -> None:
    environ = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_HOST": "x"}
    check_same_origin(Request.of(environ))


# -- who asks

OUTSIDERS: dict[str, Callable[[Request], Any]] = {
    "none": lambda request: Access.none(),
    "something else": lambda request: True,
    "nothing": lambda request: None,
    "an error": lambda request: 1 / 0,
}


@pytest.mark.parametrize("who", OUTSIDERS)
def test_without_access_nothing_is_shown(make_client: Callable[..., Client], queue: Queue, who: str) -> None:
    job = some_job(queue)
    client = make_client(OUTSIDERS[who])
    for path in (*PAGES, f"/job?id={job}", "/nowhere"):
        answer = client.get(path)
        assert answer.status == (403 if who == "none" else 500)
        assert "app.add" not in answer.html and job not in answer.html and "Traceback" not in answer.html
        assert "<nav" not in answer.html
    assert client.post("/do/cancel", [("what", "job"), ("id", job)]).status in (403, 500)
    assert queue.record(job).state is JobState.SCHEDULED


@pytest.mark.parametrize("access", [Access.read("bob"), Access.act("bob", only={"retry"}), Access.act("bob", only=())])
def test_what_is_not_allowed_is_neither_shown_nor_done(
    make_client: Callable[..., Client], queue: Queue, access: Access
) -> None:
    job = some_job(queue)
    client = make_client(access)
    for path in ("/jobs", f"/job?id={job}", "/queues", f"/confirm?action=cancel&id={job}"):
        assert all(place == "/do/retry" for place, _ in client.get(path).forms()), path
    for action, what in (("cancel", "job"), ("discard", "job"), ("pause", "queue"), ("run", "schedule")):
        answer = client.post(f"/do/{action}", [("what", what), ("id", job), ("name", "default"), ("all", "1")])
        assert answer.status == 403, action
    assert queue.record(job).state is JobState.SCHEDULED
    assert not any(row.paused for row in queue.stats().queues)


def test_looking_at_everything_changes_nothing(
    make_client: Callable[..., Client], queue: Queue, url: str, engine_kind: Any
) -> None:
    some_job(queue)
    client = make_client(Access.act("bob"))
    before = engine_kind.written(url)
    seen: set[str] = set()
    ahead = list(PAGES)
    while ahead:
        path = ahead.pop()
        if path in seen or path.startswith("#"):
            continue
        seen.add(path)
        ahead += client.get(path).links()
    assert len(seen) > 20 and engine_kind.written(url) == before


# -- paths and hosts

TRICKS = (
    *("/../../etc/passwd", "/..%2f..%2fetc/passwd", "//evil.example", "/job/../../x", "/\x00", "/jobs/", "/web.css"),
    *("/static/../app.py", "/templates/jobs.html", "/%2e%2e/%2e%2e", "/jobs\r\nX-Injected: 1", "/ä" * 50, "/" * 5000),
)


@pytest.mark.parametrize("path", TRICKS)
def test_tricks_with_paths(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 404 and "X-Injected" not in answer.headers and "root:" not in answer.html


def test_a_long_address(client: Client) -> None:
    assert client.get(f"/jobs?task={'x' * 30_000}").status == 414
    assert client.get("/jobs?" + "&".join("task=x" for _ in range(2000))).status == 400


def test_an_answer_leads_nowhere_else(client: Client, queue: Queue) -> None:
    job = some_job(queue)
    answer = client.post("/do/retry", [("what", "job"), ("id", job), ("back", "job"), ("next", "http://evil.example")])
    assert answer.status == 303 and answer.headers["Location"].startswith("/job?id=job-")


# -- texts

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp;{{7*7}}\u202e\x1b[2J"
HUGE = f"<b>{'x' * 1_000_000}</b>"


def put_with_texts(queue: Queue, text: str, payload: bytes) -> str:
    """A job that has this text wherever a job can have one; its id."""
    name = text[:200].replace("\x1b", "")
    engine = queue.engine
    [placed] = engine.put_many([NewJob(name, payload, queue=name, id=name, tags=(name,))])
    worker = engine.register(name, 60)
    [claim] = engine.claim(worker, [name], 1).claims
    error = AttemptError(1, "failed", name, text, text)
    engine.settle_many([Settlement(claim, Verdict.DISCARD, error=error, reason=text)])
    return placed.id


@pytest.mark.parametrize("text", [MARKUP, HUGE], ids=["markup", "huge"])
def test_texts_of_jobs_are_texts(make_client: Callable[..., Client], queue: Queue, text: str) -> None:
    payload = b'{"secret":"' + text.replace('"', "'").replace("\x1b", "").encode() + b'"}'
    job = put_with_texts(queue, text, payload)
    client = make_client(arguments="shown", title=text[:50])
    for path in (
        *PAGES,
        f"/job?id={quote(job)}",
        f"/jobs?task={quote(job)}",
        f"/jobs?state=discarded&tag={quote(job)}",
    ):
        answer = client.get(path)
        own = re.sub(r"<(style|script)>.*?</\1>", "", answer.html, flags=re.DOTALL)
        assert "<script" not in own and "<img" not in own and "<b>" not in own, path
        assert "\u202e" not in answer.text and "\x1b" not in answer.html
        assert len(answer.html) < 250_000, path


def test_what_is_searched_for_is_a_text(client: Client) -> None:
    for name in ("task", "queue", "tag", "error", "state", "age", "id", "below", "said", "after", "action"):
        for page in ("/jobs", "/job", "/confirm", "/schedules"):
            answer = client.get(f"{page}?{name}=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
            assert "<script>alert" not in answer.html and answer.status in (200, 400, 404)


def test_a_message_of_ours_is_one_of_ours(client: Client) -> None:
    assert "Send money" not in client.get("/jobs?said=Send+money").text
    assert "The job runs again." in client.get("/jobs?said=retry").text


def test_every_answer_has_the_headers(client: Client, make_client: Callable[..., Client]) -> None:
    answers = [client.get(path) for path in (*PAGES, "/nowhere", "/job?id=none", "/jobs?state=x")]
    answers += [client.get("/", "PUT"), client.post("/do/x"), make_client(Access.none()).get("/")]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff" and "Set-Cookie" not in answer.headers
        assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.html) and " onclick" not in answer.html
        assert ' style="' not in answer.html


# -- arguments


def test_arguments_are_hidden(client: Client, queue: Queue) -> None:
    [placed] = queue.engine.put_many([NewJob("app.work", b'{"card":"4111-1111"}', delay=60)])
    for path in (*PAGES, f"/job?id={placed.id}", f"/confirm?action=cancel&id={placed.id}"):
        assert "4111" not in client.get(path, X_Steadypool_Fragment="1").html + client.get(path).html
    assert "Hidden here." in client.get(f"/job?id={placed.id}").text
    assert client.get("/jobs?argument=4111").status == 403
    assert client.get("/confirm?action=cancel&all=1&argument=4111").status == 403
    form = [("what", "job"), ("all", "1"), ("argument", "4111")]
    assert client.post("/do/cancel", form).status == 403
    assert queue.record(placed.id).state is JobState.SCHEDULED


def test_a_function_says_how_arguments_are_shown(make_client: Callable[..., Client], queue: Queue) -> None:
    [placed] = queue.engine.put_many([NewJob("app.work", b'{"card":"4111-1111"}', delay=60)])

    def masked(record: Any) -> str:
        return record.payload.decode().replace("4111-", "****-<i>")  # type: ignore[no-any-return]

    client = make_client(arguments=masked)
    assert '{"card":"****-<i>1111"}' in client.get(f"/job?id={placed.id}").text.replace(" ", "")
    assert "1111" not in client.get("/jobs").html
    for broken in (lambda record: 1 / 0, lambda record: record.payload):
        page = make_client(arguments=broken).get(f"/job?id={placed.id}")
        assert page.status == 200 and "Hidden here." in page.text and "4111" not in page.html
