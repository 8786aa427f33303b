"""What limits and lanes cost: claims and settlements by the hundred, on one engine object.

Processor time, of this process and of its server's, so that other programs do not count. In each round each side has
one turn, on a store of its own; ratios are taken within a round.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from time import process_time

import psutil

from bench.chords import chords
from bench.limit_peers import limit_peers
from bench.rounds import Effort
from bench.tables import Table, at_least
from steadypool.durable.engine.limits import NewLimit
from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import NewJob, Settlement, Verdict
from steadypool.durable.engine.turns import Turn, turn_of
from steadypool.rules.limits import Allowance
from tests.durable.engine.postgres import server

AT_ONCE = 100
CLAIMS = 10
TENANTS = 50
CLOSED = 10_000
NEVER = 1_000_000
FREE = "no limits, none in the store"
Lanes = Callable[[int], Turn | None]


def _free(number: int) -> Turn | None:
    return None


def _limited(number: int) -> Turn | None:
    return turn_of([("never", "")], "")


def _by_tenant(number: int) -> Turn | None:
    return turn_of([("never", str(number % TENANTS))], "")


def _in_lanes(number: int) -> Turn | None:
    return turn_of([], str(number % TENANTS))


def _behind_one(number: int) -> Turn | None:
    return turn_of([("closed", "")], "")


def _behind_many(number: int) -> Turn | None:
    return turn_of([("closed", str(number % TENANTS))], "")


SIDES: Mapping[str, tuple[Lanes, Lanes | None]] = {
    FREE: (_free, None),
    "a limit that is never reached": (_limited, None),
    f"the same for each of {TENANTS} tenants": (_by_tenant, None),
    f"lanes of {TENANTS} tenants": (_in_lanes, None),
    f"no limits, beside {CLOSED:,} jobs behind a closed one": (_free, _behind_one),
    f"no limits, beside {CLOSED:,} jobs of {TENANTS} tenants behind closed ones": (_free, _behind_many),
}
"""By name: what is measured, and what waits beside it."""


class Side:
    """A store with such jobs."""

    def __init__(self, url: str, lanes: Lanes, beside: Lanes | None) -> None:
        self.engine: Engine = open_engine(url)
        self.engine.migrate()
        self._lanes = lanes
        limits = [NewLimit("never", Allowance(running=NEVER), "wait"), NewLimit("closed", Allowance(running=0), "wait")]
        if lanes is not _free or beside is not None:
            self.engine.limits.declare("bench", None, ["never", "closed"], limits, 3600.0)
        self._worker = self.engine.register("bench", 3600.0)
        if beside is not None:
            self._put(beside, CLOSED)
        self._processes = [psutil.Process(pid) for pid in _servers_of(self.engine)]

    def turn(self) -> float:
        """Processor seconds for each job of a turn."""
        self._put(self._lanes, AT_ONCE * CLAIMS)
        done: list[Settlement] = []
        leases: list[int] = []
        count, began = 0, self._used()
        while count < AT_ONCE * CLAIMS:
            answer = self.engine.claim(self._worker, ["default"], AT_ONCE, done, leases)
            done = [Settlement(claim, Verdict.COMPLETE, result=b"1") for claim in answer.claims]
            leases = list({claim.lease for claim in answer.claims})
            count += len(done)
        self.engine.claim(self._worker, [], 0, done, leases)
        return (self._used() - began) / count

    def _put(self, lanes: Lanes, count: int) -> None:
        for first in range(0, count, 1000):
            numbers = range(first, min(count, first + 1000))
            self.engine.put_many([NewJob("t", b'{"number":1}', turn=lanes(number)) for number in numbers])

    def _used(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return process_time() + sum(one.user + one.system for one in times)


def _servers_of(engine: Engine) -> list[int]:
    session = getattr(engine, "_session", None)
    return [] if session is None else [pid for [pid] in session.call("SELECT pg_backend_pid()")]


@contextmanager
def _stores(kind: str) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, jobs in SIDES.items():
            if kind == "SQLite":
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="steadypool-bench-"))
                url = f"sqlite:///{folder}/jobs.db?synchronous=NORMAL"
            else:
                url = stack.enter_context(server.database(server.template()))
            sides[name] = Side(url, *jobs)
            stack.callback(sides[name].engine.close)
        yield sides


def limits(kind: str, effort: Effort) -> Table:
    """The table for one kind of engine. On PostgreSQL it needs the shared server of `bench.postgres`."""
    used: dict[str, list[float]] = {name: [] for name in SIDES}
    with _stores(kind) as sides:
        for place in range(4 * effort.rounds + 1):
            for name, side in sides.items():
                seconds = side.turn()
                if place:  # the first one warms up
                    used[name].append(seconds)
    share = {
        name: statistics.median(free / own for free, own in zip(used[FREE], found, strict=True))
        for name, found in used.items()
    }
    rows = [(name, f"{statistics.median(found) * 1e6:.1f}", f"{share[name]:.0%}") for name, found in used.items()]
    targets = [at_least(f"{kind}, {name}: 60 % of the rate without", share[name], 0.6) for name in list(SIDES)[1:4]]
    targets += [at_least(f"{kind}, {name}: 97 %", share[name], 0.97) for name in list(SIDES)[4:]]
    columns = ("", "CPU µs a job: claim and settle", "of the rate without limits")
    return Table(f"limits-{kind.lower()}", f"Limits on {kind}", columns, rows, {"share": share}, targets=targets)


def tables(effort: Effort) -> Iterator[Table]:
    """Those of both kinds, and the peers."""
    for kind in ("SQLite", "PostgreSQL"):
        yield limits(kind, effort)
    server.remove_shared_server()
    yield limit_peers(effort)
    yield chords(effort)
