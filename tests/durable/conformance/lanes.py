"""What the tests of limits and lanes do over and over."""

from __future__ import annotations

from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import Claim, NewJob
from steadypool.durable.engine.turns import Turn, turn_of
from steadypool.rules.limits import Allowance

from .steps import job, take

SECONDS = 180.0
"""For which a limit holds that no worker declares any more."""


def limit(engine: Engine, name: str = "stripe", over: str = "wait", **allowed: float) -> None:
    """Have a program declare a limit."""
    engine.limits.declare("shop", None, [name], [NewLimit(name, Allowance(**allowed), over)], SECONDS)  # type: ignore[arg-type]


def gates(*pairs: tuple[str, str], lane: str = "") -> Turn:
    """Where a job waits that has to pass these."""
    turn = turn_of(pairs, lane)
    assert turn is not None
    return turn


STRIPE = gates(("stripe", ""))


def tenant(name: str) -> Turn:
    """The lane of one tenant, of which each may have so many running."""
    return gates(("stripe", name))


def put_in(engine: Engine, turn: Turn, count: int = 1, **more: object) -> list[str]:
    """Put jobs that wait there; returns their ids."""
    return [placed.id for placed in engine.put_many([in_lane(turn, **more) for _ in range(count)])]


def in_lane(turn: Turn, **more: object) -> NewJob:
    return job(turn=turn, **more)  # type: ignore[arg-type]


def lanes_of(claims: list[Claim]) -> list[str]:
    """The keys and lanes of what was claimed, in order."""
    return ["".join(claim.turn.lane.split("\x1f")) if claim.turn is not None else "-" for claim in claims]


def take_all(engine: Engine, who: int, limit: int = 10) -> list[Claim]:
    """Claim until there is nothing more to be had now."""
    claims: list[Claim] = []
    while found := take(engine, who, limit):
        claims += found
    return claims


def counts(engine: Engine, name: str = "stripe") -> tuple[int, int]:
    """How many jobs run under a limit, and how many wait."""
    for count in engine.limits.counts():
        if count.name == name:
            return count.running, count.waiting
    return 0, 0
