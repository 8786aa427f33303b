"""`run_jobs`: as a worker would, on the test's thread, within its transaction."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase
from shop import tasks
from shop.models import Order

from steadypool.contrib.django.framework import task_backends
from steadypool.contrib.django.testing import run_jobs


class RunJobs(TestCase):
    databases = ("default", "other")

    def test_order_and_queues(self) -> None:
        ids = [
            tasks.noop.enqueue().id,
            tasks.noop.using(priority=9).enqueue().id,
            tasks.noop.using(queue_name="mail").enqueue().id,
        ]
        assert [ran.id for ran in run_jobs(queues=["default"])] == [ids[1], ids[0]]
        assert [ran.id for ran in run_jobs()] == [ids[2]] and run_jobs() == []

    def test_jobs_that_jobs_enqueue(self) -> None:
        tasks.save_and_follow.enqueue(1)
        assert len(run_jobs()) == 20 and Order.objects.count() == 10

    def test_it_ends(self) -> None:
        tasks.save_and_follow.enqueue(1)
        with pytest.raises(RuntimeError, match=r"3 attempts were run, and there is more to do: a job of shop.tasks"):
            run_jobs(at_most=3)
        assert len(run_jobs()) == 17

    def test_what_waits_is_left(self) -> None:
        from datetime import timedelta

        from django.utils import timezone

        result = tasks.noop.using(run_after=timezone.now() + timedelta(days=1)).enqueue()
        assert run_jobs() == [] and tasks.noop.get_result(result.id).status == "READY"

    def test_the_first_failure_is_raised(self) -> None:
        tasks.fail.enqueue("first")
        tasks.noop.enqueue()
        with pytest.raises(ValueError, match="first"):
            run_jobs()
        [ran] = run_jobs()
        assert ran.task == tasks.noop

    def test_a_query_that_fails_does_not_spoil_the_test(self) -> None:
        Order.objects.create(number=1)
        tasks.save.enqueue(1)
        with pytest.raises(IntegrityError):
            run_jobs()
        assert Order.objects.count() == 1
        tasks.save.enqueue(2)
        assert run_jobs()[0].return_value == 2

    def test_what_a_failed_job_has_saved_stays(self) -> None:
        tasks.refuse.enqueue(1)
        run_jobs(raises=False)
        assert set(Order.objects.values_list("number", flat=True)) == {101, 102, 103}

    def test_other_backends(self) -> None:
        result = tasks.meaning.using(backend="other").enqueue()
        assert run_jobs() == []
        [ran] = run_jobs(backend="other", queues=["mail"])
        assert ran.id == result.id and ran.return_value == 42
        assert task_backends["other"].get_result(result.id).backend == "other"

    async def test_an_async_test(self) -> None:
        from asgiref.sync import sync_to_async

        await tasks.save_async.aenqueue(1)
        await tasks.save.aenqueue(2)
        ran = await sync_to_async(run_jobs)()
        assert [one.return_value for one in ran] == [1, 2]

    def test_dummy_and_immediate(self) -> None:
        later = tasks.hang.using(backend="dummy")
        assert later.enqueue().status == "READY" and task_backends["dummy"].results
        at_once = tasks.only_once.using(backend="immediate", timeout=5).enqueue(1, note="here")
        assert at_once.return_value == "here"
        assert tasks.meaning.using(backend="stock", priority=0, queue_name="default").enqueue().return_value == 42


class OnCommit(TestCase):
    def test_what_a_job_does_on_commit_is_done_once(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            tasks_that_mail.enqueue()
            run_jobs()
            assert [message.subject for message in mail.outbox] == ["sent"]
        assert callbacks == [] or len(mail.outbox) == 1


class WithoutATransaction(TransactionTestCase):
    databases = ("default", "other")

    @pytest.fixture(autouse=True)
    def _committed(self, committed: None) -> None:
        """What is left is removed."""

    def test_it_works_there_too(self) -> None:
        assert not connection.in_atomic_block
        tasks.save.enqueue(1)
        with transaction.atomic():
            tasks.save.enqueue(2)
        assert [ran.return_value for ran in run_jobs()] == [1, 2]


def send_on_commit() -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: mail.send_mail("sent", "", None, ["a@b.example"]))


from steadypool.contrib.django import task  # noqa: E402

tasks_that_mail = task(send_on_commit)
