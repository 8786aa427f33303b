"""A job ends while the transaction that puts another after it is open: on engines, many times."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter

import pytest

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, Settlement, Verdict
from tests.durable.conformance.steps import LONG, QUEUES, give_up, job
from tests.durable.test_after import connect

ROUNDS = 1000 if os.environ.get("STEADYPOOL_TEST_LONG") == "1" else 60
SOON = 0.004


def settle_later(engine: Engine, claims: list[Claim], chance: random.Random) -> None:
    for claim in claims:
        time.sleep(chance.random() * SOON)  # what is tested is that it comes at any moment
        done = give_up(claim) if chance.random() < 0.2 else Settlement(claim, Verdict.COMPLETE, result=b"1")
        assert engine.settle_many([done]) == frozenset()


def put_later(url: str, engine: Engine, claims: list[Claim], chance: random.Random, ids: list[str]) -> None:
    connection = connect(url)
    try:
        for claim in claims:
            [placed] = engine.put_on(connection, [job("app.next", after=(claim.id,), needs="end")])
            time.sleep(chance.random() * SOON)
            connection.commit()
            ids.append(placed.id)
    finally:
        connection.close()


@pytest.mark.every_engine
def test_each_dependent_runs_once(url: str) -> None:
    engines = [open_engine(url) for _ in range(4)]
    try:
        run_once(url, engines)
    finally:
        for engine in engines:
            engine.close()


def run_once(url: str, engines: list[Engine]) -> None:
    main, one, other, third = engines
    main.migrate()
    chance = random.Random(7)
    main.put_many([job()] * ROUNDS)
    who = main.register("first", LONG)
    claims = list(main.claim(who, QUEUES, ROUNDS).claims)
    ids: list[str] = []
    stop = threading.Event()
    threads = [
        threading.Thread(target=settle_later, args=(one, claims, random.Random(1))),
        threading.Thread(target=put_later, args=(url, other, claims, random.Random(2), ids)),
    ]
    tender = threading.Thread(target=lambda: [third.links.tend(100) for _ in iter(lambda: stop.wait(SOON), True)])
    tender.start()
    for thread in threads:
        thread.start()
    seen: Counter[str] = Counter()
    until = time.monotonic() + 50
    while time.monotonic() < until and (any(thread.is_alive() for thread in threads) or sum(seen.values()) < ROUNDS):
        found = main.claim(who, QUEUES, 10).claims
        seen.update(claim.id for claim in found)
        main.settle_many([Settlement(claim, Verdict.COMPLETE, result=b"2") for claim in found])
        stop.wait(chance.random() * SOON)
    stop.set()
    for thread in (*threads, tender):
        thread.join()
    assert len(ids) == ROUNDS
    assert seen == Counter(ids)
    assert main.stats().queues[0].waiting == 0
