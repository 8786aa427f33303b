"""The web shop on PostgreSQL: the example's service, its worker, and what they are deployed with."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import psycopg
import pytest
import yaml

from steadypool.durable.worker.heartbeat_helper import RENEWALS
from steadypool.rules.claim_size import LOOK_AGAIN
from tests.durable.engine.postgres import server
from tests.patience import WAIT

ORDERS = Path(__file__).parents[2] / "examples" / "orders"
GRACE, DRAIN = 30, 25


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with server.database() as url:
        monkeypatch.setenv("STEADYPOOL_URL", url)
        yield url
    server.remove_shared_server()


@pytest.fixture
def shop(address: str) -> Iterator[str]:
    """Where the service answers."""
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"]
    process = subprocess.Popen(command, cwd=ORDERS, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"running on (\S+)", line):
            break
    else:
        raise AssertionError(said)
    yield found[1]
    process.terminate()
    process.communicate(timeout=WAIT)


def test_an_order_and_its_job_are_there_or_neither_is(shop: str, address: str) -> None:
    items = ("tea", "nothing", "milk")
    taken = [httpx.post(f"{shop}/orders", params={"item": item}, timeout=WAIT) for item in items]
    assert [answer.status_code for answer in taken] == [201, 409, 201]
    assert httpx.get(f"{shop}/health/ready", timeout=WAIT).json() == {"waiting": 2}
    worker = [sys.executable, "-m", "steadypool.cli", "work", "app:queue", "--kind", "thread", "--until-empty"]
    subprocess.run(worker, cwd=ORDERS, env=os.environ | {"PYTHONPATH": str(ORDERS)}, check=True, capture_output=True)
    with psycopg.connect(address) as connection:
        orders = connection.execute("SELECT number FROM orders ORDER BY 1").fetchall()
        assert connection.execute("SELECT order_number FROM confirmations ORDER BY 1").fetchall() == orders
    assert len(orders) == 2 and httpx.get(f"{shop}/health/ready", timeout=WAIT).json() == {"waiting": 0}


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ORDERS / "kubernetes.yaml").read_text()))


def test_the_manifest_is_what_kubernetes_takes() -> None:
    for manifest in manifests():
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_worker_has_time_to_drain() -> None:
    [spec] = [one["spec"]["template"]["spec"] for one in manifests() if one["metadata"]["name"] == "shop-worker"]
    service = yaml.safe_load((ORDERS / "compose.yaml").read_text())["services"]["worker"]
    for command in (spec["containers"][0]["command"], service["command"]):
        assert command[:2] == ["steadypool", "work"] and command[-2:] == ["--drain-timeout", str(DRAIN)]
    assert spec["terminationGracePeriodSeconds"] == GRACE > DRAIN and service["stop_grace_period"] == f"{GRACE}s"


def test_the_probes_ask_for_what_is_there() -> None:
    containers = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0] for one in manifests()}
    web, worker = containers["shop-web"], containers["shop-worker"]
    assert web["readinessProbe"]["httpGet"]["path"] in (ORDERS / "app.py").read_text()
    assert web["livenessProbe"]["tcpSocket"]["port"] == web["ports"][0]["containerPort"]
    python, *arguments = worker["livenessProbe"]["exec"]["command"]
    assert python == "python" and subprocess.run([sys.executable, *arguments], check=False).returncode == 0


def test_the_compose_file_names_what_is_there() -> None:
    compose = yaml.safe_load((ORDERS / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert ("build" in service) != ("image" in service)
        assert set(service.get("depends_on", {})) <= set(compose["services"])
    copied = re.findall(r"^COPY (\S+)", (ORDERS / "Dockerfile").read_text(), re.MULTILINE)
    assert copied and all((ORDERS / name).exists() for name in copied)


def test_the_fleet_is_as_the_arithmetic_says() -> None:
    done = subprocess.run(
        [sys.executable, ORDERS.parent / "fleet.py"], capture_output=True, text=True, timeout=50, check=True
    )
    assert "10,000" in done.stdout


def test_the_page_on_growing_reckons_as_the_simulation_does() -> None:
    fleet = runpy.run_path(str(ORDERS.parent / "fleet.py"))
    assert (fleet["RENEWALS"], fleet["LOOK_AGAIN"]) == (RENEWALS, LOOK_AGAIN)
    page = (ORDERS.parents[1] / "docs" / "growing.md").read_text()
    cost = fleet["COST"]
    for what in ("claim", "sweep", "renewal"):
        assert f"{cost[what] * 1e6:.0f} µs" in page, what
    lines = re.findall(r"^([\d,]+) workers +([\d,]+) calls/s +([\d.]+) cores$", page, re.MULTILINE)
    assert [number(workers) for workers, _, _ in lines] == [10, 1_000, 10_000]
    each = cost["claim"] + cost["sweep"] + cost["renewal"] * RENEWALS / fleet["LEASE"]
    for workers, calls, cores in lines:
        _, longest, rate = fleet["expected"](int(number(workers)))
        assert number(calls) == pytest.approx(rate, rel=0.01)
        assert number(cores) == pytest.approx(number(workers) * each, rel=0.1)
        assert f"{longest:g} s at most" in page
    for shown, reckoned in ((25_000, 2 / 80e-6), (50_000, 2 / 40e-6), (20_000, 100 / 0.005)):
        assert f"{shown:,}" in page and shown == pytest.approx(reckoned)


def number(text: str) -> float:
    return float(text.replace(",", ""))
