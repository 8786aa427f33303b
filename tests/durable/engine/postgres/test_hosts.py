"""Workers on two hosts, of which one is cut off: another takes its jobs, and what it says of them is refused.

Where it is allowed the hosts are network namespaces; in any case they are two processes with a cable to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from steadypool import Queue
from tests.durable import app
from tests.durable.engine.postgres.cable import Cable
from tests.durable.engine.postgres.host import Host
from tests.durable.engine.postgres.server import Server
from tests.durable.programs import start_worker
from tests.durable.working import WAIT, Working
from tests.pools.contract.stage import Stage

pytestmark = pytest.mark.usefixtures("quick_to_sweep")


def cut_off(
    queue: Queue, stage: Stage, cable: Cable | Host, use: Callable[[bool], None], within: Sequence[str] = ()
) -> None:
    """One job, begun on the far side of *cable*; *use* has the environment name the address on that side or on ours."""
    handle = app.act.enqueue(stage.address, "job")
    use(True)
    far = start_worker("--kind", "thread", "--workers", "1", "--lease", "1", within=within)
    first = stage.enter()
    cable.cut()
    use(False)
    with Working(queue) as near:
        second = stage.enter()  # the same job, on this side
        near.wait_for("JobsRecovered")
        first.tell("return")
        cable.mend()
        far.read_until("the lease was lost")
        second.tell("return")
        assert handle.result(WAIT) == "job" and handle.attempts == 2
        assert [error.outcome for error in handle.errors] == ["lost"]
    other = app.add.enqueue(1, 1)  # and the one that was cut off goes on
    assert other.result(WAIT) == 2
    far.process.terminate()
    assert far.end() == 0


def test_two_process_groups(queue: Queue, address: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cable(address) as cable:
        cut_off(queue, stage, cable, lambda far: monkeypatch.setenv("STEADYPOOL_URL", cable.url if far else address))


def test_two_network_namespaces(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        host = Host().__enter__()
    except OSError as error:
        pytest.skip(f"no network namespace can be made here ({error}): the test beside this one stands in for it")
    server = Server(reachable_from=host.net, listen_addresses=host.address)
    try:
        server.start()
        monkeypatch.setenv("STEADYPOOL_URL", server.url)
        app.queue.engine.migrate()
        urls = {True: f"postgresql://{server.user}@{host.address}/postgres", False: server.url}
        cut_off(app.queue, stage, host, lambda far: monkeypatch.setenv("STEADYPOOL_URL", urls[far]), host.within)
    finally:
        app.queue.close()
        server.remove()
        host.__exit__(None, None, None)
