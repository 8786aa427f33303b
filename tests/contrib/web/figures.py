"""A store that looks like one at work: an hour of minutes, failures, queues and schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steadypool import Cron, Every, Queue
from steadypool.durable.engine.figures import Ended
from steadypool.durable.engine.records import AttemptError, NewJob, Settlement, Verdict
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
QUEUES = ("default", "mail", "payments", "pdf")


@dataclass(frozen=True)
class Filled:
    """What is in it."""

    failed: str
    """The id of a job that has failed for good."""


def fill(queue: Queue, url: str) -> Filled:
    """Fill it, over the engine and nothing else; the clock goes along for the minutes."""
    engine = queue.engine
    engine.move_clock(-3600.0)
    for minute in range(60):
        wave = 1.0 + math.sin(minute / 7) * 0.6
        engine.figures.add(
            [
                Ended("payments", "shop.payments.charge", int(40 * wave), minute % 9 == 0, 0, 31.0),
                Ended("mail", "shop.mail.send", int(90 * wave) + minute, 3 * (20 < minute < 26), 0, 14.0),
                Ended("pdf", "shop.pdf.render", 3 + minute % 4, minute % 17 == 0, minute % 34 == 0, 22.0),
            ]
        )
        engine.move_clock(60.0)
    worker = engine.register("worker-7.shop", 60)
    ids: list[str] = []
    for task, error, message, count in FAILURES:
        tags = (f"tenant:{count}", "eu")
        engine.put_many([NewJob(task, b'{"order":%d}' % n, queue="payments", tags=tags) for n in range(count)])
        claims = engine.claim(worker, ["payments"], count).claims
        for claim in claims:
            why = AttemptError(1, "failed", error, message, TRACEBACK.format(message=message))
            engine.settle_many([Settlement(claim, Verdict.DISCARD, error=why, reason="no retry is left")])
            ids.append(claim.id)
        engine.claim(worker, (), 0, (), [claim.lease for claim in claims])
    engine.leave(worker)
    engine.pause("default", True)
    for name in QUEUES:
        waits = [NewJob("shop.payments.charge", b'{"order":4711,"currency":"EUR"}', queue=name) for _ in range(8)]
        engine.put_many([*waits, *(NewJob("shop.mail.send", b"{}", queue=name, delay=900.0) for _ in range(3))])
    engine.pause("pdf", True)
    queue.schedules.put("invoices", app.add.call(1), Cron("0 6 1 * *", tz="Europe/Berlin"))
    queue.schedules.put("clean-up", app.add.call(2), Every(hours=6))
    queue.schedules.put("report", app.add.call(3), Cron("30 8 * * mon-fri", tz="America/Santiago"))
    queue.schedules.get("clean-up").pause()
    return Filled(ids[0])
