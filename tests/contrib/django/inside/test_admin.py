"""The jobs in the admin: pages, one job, and what a user with the right for it may do."""

from __future__ import annotations

import re
from time import process_time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import TestCase
from django.urls import NoReverseMatch, reverse
from shop import tasks

from steadypool.contrib.django.framework import task_backends
from steadypool.contrib.django.testing import run_jobs
from tests.patience import eventually

LIST = "/admin/steadypool/job/"


class Admin(TestCase):
    databases = ("default", "other")

    def setUp(self) -> None:
        self.boss = User.objects.create_superuser("boss")
        self.reader = User.objects.create_user("reader", is_staff=True)
        self.reader.user_permissions.add(Permission.objects.get(codename="view_job"))
        self.queue = task_backends["default"].queue
        self.client.force_login(self.boss)

    def page(self, path: str = LIST, **given: Any) -> str:
        answer = self.client.get(path, given)
        assert answer.status_code == 200
        return answer.content.decode()

    def act(self, action: str, *jobs: str, path: str = LIST) -> list[str]:
        """Post it; returns the messages that the next page shows."""
        answer = self.client.post(path, {"action": action, "job": jobs}, follow=True)
        assert answer.status_code == 200
        return [str(message) for message in answer.context["messages"]]

    def test_the_list(self) -> None:
        assert "There is no such job" in self.page()
        ids = [tasks.give_back.enqueue("<b>", n=2).id, tasks.meaning.enqueue().id]
        tasks.meaning.using(backend="other").enqueue()
        shown = self.page()
        assert shown.index(ids[1]) < shown.index(ids[0])  # the latest first
        assert "&quot;&lt;b&gt;&quot;, n=2" in shown and "shop.tasks.give_back" in shown
        assert rows(self.page(queue="mail")) == [ids[1]] and rows(self.page(task="give_back")) == [ids[0]]
        assert rows(self.page(state="discarded")) == [] and len(rows(self.page(backend="other"))) == 1
        assert self.client.get(LIST, {"backend": "stock"}).status_code == 404
        assert 'href="/admin/steadypool/job/"' in self.page("/admin/")

    def test_the_next_page(self) -> None:
        ids = [tasks.noop.enqueue().id for _ in range(60)]
        first = self.page(task="noop")
        assert rows(first) == ids[:-51:-1]
        [following] = re.findall(r'href="(\?task=noop[^"]*below=\d+)"', first)
        assert rows(self.page(f"{LIST}{following.replace('&amp;', '&')}")) == ids[-51::-1]

    def test_one_job(self) -> None:
        result = tasks.fail.enqueue("<i>")
        run_jobs(raises=False)
        path = reverse("admin:steadypool_job_change", args=[result.id])
        shown = self.page(path)
        assert "ValueError: &lt;i&gt;" in shown and "Traceback" in shown and "run_jobs" in shown
        assert 'value="retry"' in shown and 'value="cancel"' not in shown
        assert self.client.get(reverse("admin:steadypool_job_change", args=["job-99"])).status_code == 404
        assert "1 job: will run again" in self.act("retry", path=path)[0]
        assert "failed" in self.page(path) and 'value="discard"' in self.page(path)
        done = tasks.meaning.enqueue()
        run_jobs(raises=False)
        assert "<td>42</td>" in self.page(reverse("admin:steadypool_job_change", args=[done.id]))

    def test_actions(self) -> None:
        kept, gone = tasks.fail.enqueue().id, tasks.noop.enqueue().id
        assert self.act("discard", kept, gone) == ["2 jobs: given up."]
        assert self.act("retry", kept) == ["1 job: will run again."]
        [said] = self.act("retry", kept)
        assert f"job '{kept}' is available: there is nothing to retry" in said
        assert self.act("cancel", kept) == ["1 job: cancelled, or asked to stop."]
        assert "has ended" in self.act("cancel", kept)[0] and "there is no job" in self.act("cancel", "job-99")[0]
        assert self.act("", kept) == ["Choose what is to be done."]
        assert "Choose the jobs" in self.act("retry")[0]
        assert {entry.object_id for entry in LogEntry.objects.all()} == {kept, gone}
        assert self.queue.record(kept).state.value == "cancelled"

    def test_pausing(self) -> None:
        tasks.noop.enqueue()
        assert self.act("pause:default") == ["The queue default is paused."]
        assert "default (paused)" in self.page() and run_jobs() == []
        assert self.act("resume:default") == ["The queue default goes on."]
        assert len(run_jobs()) == 1

    def test_rights(self) -> None:
        job = tasks.noop.enqueue().id
        self.client.force_login(self.reader)
        shown = self.page()
        assert job in shown and 'name="action"' not in shown
        for path in (LIST, reverse("admin:steadypool_job_change", args=[job])):
            for action in ("retry", "discard", "pause:default"):
                assert self.client.post(path, {"action": action, "job": job}).status_code == 403
        self.client.force_login(User.objects.create_user("other", is_staff=True))
        assert self.client.get(LIST).status_code == 403
        self.client.logout()
        assert self.client.get(LIST).status_code == 302
        self.reader.user_permissions.add(Permission.objects.get(codename="act_on_job"))
        self.client.force_login(User.objects.get(username="reader"))
        assert self.act("discard", job) == ["1 job: given up."]

    def test_a_long_history_is_not_counted(self) -> None:
        """As long as a list of a hundred, for what the processor does: 2 million rows with STEADYPOOL_TEST_LONG."""
        self.client.get(LIST)
        fill(2_000)
        few = min(taken(lambda: self.page(task="noop")) for _ in range(3))
        fill(20_000)
        eventually(lambda: taken(lambda: self.page(task="noop")) < 3 * few + 0.05)  # a busy processor is slower
        assert len(rows(self.page(task="noop"))) == 50


def taken(call: Any) -> float:
    """The processor time of a call."""
    began = process_time()
    call()
    return process_time() - began


def fill(count: int) -> None:
    """Have so many jobs more that have completed."""
    connection = connections["default"]
    prefix = "steadypool." if connection.vendor == "postgresql" else ""
    series = (
        f"generate_series(1, {count}) AS s (n)"
        if prefix
        else f"(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
    )
    moment = "now()" if prefix else "1.7e9"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max(number), 0) FROM {prefix}history")
        [highest] = cursor.fetchone()
        columns = (
            "number, nonce, queue, task, rank, attempt, crashes, losses, returns, enqueued_at, keep, unique_held, "
            "state, ended_at, keep_until, result, reason"
        )
        held = "false" if prefix else "0"
        until = f"{moment} + interval '1 day'" if prefix else "9e9"
        result = "'{}'::bytea" if prefix else "CAST('{}' AS BLOB)"
        cursor.execute(
            f"INSERT INTO {prefix}history ({columns}) SELECT {highest} + n, 1, 'default', 'shop.tasks.noop', 0, 1, 0, "
            f"0, 1, {moment}, 86400, {held}, 'completed', {moment}, {until}, {result}, '' FROM {series}"
        )


def rows(page: str) -> list[str]:
    return re.findall(r'type="checkbox" name="job" value="([^"]+)"', page)


@pytest.mark.parametrize("word", ["add", "delete", "history"])
def test_there_is_no_other_page(word: str) -> None:
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:steadypool_job_{word}", args=["job-1"])
