"""A store that looks like one at work: an hour of minutes, failures, queues and schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steadypool import Cron, Every, Queue
from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.engine.records import AttemptError, NewJob, Settlement, Verdict
from steadypool.rules.limits import Allowance
from tests.durable import app

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/payments.py", line 118, in charge
    receipt = gateway.charge(order.card, order.total)
  File "/srv/shop/gateway.py", line 42, in charge
    raise CardDeclined(answer.code, answer.text)
shop.gateway.CardDeclined: {message}
"""
FAILURES = (
    ("shop.payments.charge", "shop.gateway.CardDeclined", "05: do not honour", 9),
    ("shop.mail.send", "smtplib.SMTPServerDisconnected", "Connection unexpectedly closed", 4),
    ("shop.pdf.render", "TimeoutError", "", 2),
)
QUEUES = ("mail", "payments", "pdf")


@dataclass(frozen=True)
class Filled:
    """What is in it."""

    failed: str
    """The id of a job that has failed for good."""
    batch: str
    """The id of a batch."""


def fill(queue: Queue) -> Filled:
    """Fill it, over the engine and nothing else; the clock goes along."""
    engine = queue.engine
    failed = ""
    at_work = [engine.register(f"worker-{n}.shop", 600) for n in (1, 2, 3)]
    for minute in range(62):
        wave = 1.0 + math.sin(minute / 7) * 0.6
        engine.figures.add(
            [
                Ended("payments", "shop.payments.charge", int(40 * wave), minute % 9 == 0, 0, 31.0),
                Ended("mail", "shop.mail.send", int(90 * wave) + minute, 3 * (20 < minute < 26), 0, 14.0),
                Ended("pdf", "shop.pdf.render", 3 + minute % 4, minute % 17 == 0, minute % 34 == 0, 22.0),
            ]
        )
        if minute == 60:
            failed = _fail(queue, at_work[0])
            _begin(queue, at_work)
        engine.move_clock(51.0 if minute == 60 else 60.0)
    for name in QUEUES:
        waits = [NewJob("shop.payments.charge", b'{"order":4711,"currency":"EUR"}', queue=name) for _ in range(8)]
        engine.put_many([*waits, *(NewJob("shop.mail.send", b"{}", queue=name, delay=900.0) for _ in range(3))])
    engine.pause("pdf", True)
    engine.move_clock(14.0)
    queue.schedules.put("invoices", app.add.call(1), Cron("0 6 1 * *", tz="Europe/Berlin"))
    queue.schedules.put("clean-up", app.add.call(2), Every(hours=6))
    queue.schedules.put("report", app.add.call(3), Cron("30 8 * * mon-fri", tz="America/Santiago"))
    queue.schedules.get("clean-up").pause()
    limits = {"gateway": Allowance(running=20), "smtp": Allowance(starts=100, per=60.0, burst=10)}
    engine.limits.declare("shop", None, list(limits), [NewLimit(*limit, "wait") for limit in limits.items()], 60.0)
    queue.limits.set("gateway", key="tenant:42", running=2)
    return Filled(failed, _batch(queue, at_work[2]))


def _batch(queue: Queue, worker: int) -> str:
    """Half of it has ended; its id."""
    engine = queue.engine
    batch = queue.batch("invoices of November")
    batch.put([NewJob("shop.pdf.render", b"{}", queue="payments", priority=5) for _ in range(40)])
    batch.seal()
    claims = engine.claim(worker, ["payments"], 22).claims
    why = AttemptError(1, "failed", "TimeoutError", "", TRACEBACK.format(message=""))
    engine.settle_many(
        [
            Settlement(claim, Verdict.DISCARD, error=why) if n % 11 == 10 else Settlement(claim, Verdict.COMPLETE)
            for n, claim in enumerate(claims)
        ]
    )
    engine.claim(worker, (), 0, (), [claim.lease for claim in claims])
    return batch.id


def _fail(queue: Queue, worker: int) -> str:
    """Have some jobs fail for good; the id of one."""
    engine = queue.engine
    failed = ""
    for task, error, message, count in FAILURES:
        tags = (f"tenant:{count}", "eu")
        engine.put_many([NewJob(task, b'{"order":%d}' % n, queue="payments", tags=tags) for n in range(count)])
        engine.move_clock(3.0)
        claims = engine.claim(worker, ["payments"], count).claims
        for claim in claims:
            why = AttemptError(1, "failed", error, message, TRACEBACK.format(message=message))
            engine.settle_many([Settlement(claim, Verdict.DISCARD, error=why, reason="no retry is left")])
            failed = failed or claim.id
        engine.claim(worker, (), 0, (), [claim.lease for claim in claims])
    return failed


def _begin(queue: Queue, workers: list[int]) -> None:
    """Have these workers run something."""
    engine = queue.engine
    engine.put_many([NewJob("shop.pdf.render", b'{"pages":40}', queue="pdf", tags=("tenant:7",)) for _ in range(3)])
    engine.put_many([NewJob("shop.mail.send", b"{}", queue="mail")])
    for done, worker in zip((11, 28), workers, strict=False):
        [claim] = engine.claim(worker, ["pdf"], 1).claims
        engine.report(worker, {claim.number: (done, 40)})
    engine.claim(workers[2], ["mail"], 1)
