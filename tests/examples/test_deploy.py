"""What workers are deployed with: the files are valid, stand in the page, and leave a worker the time to drain."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from steadypool.cli.queue.work import work_command

EXAMPLES = Path(__file__).parents[2] / "examples"
UNIT = EXAMPLES / "deploy" / "shop-worker.service"
PROGRAM = """
from steadypool import Queue

queue = Queue()

@queue.task
def hello() -> str:
    return "hello"
"""


@pytest.mark.parametrize(
    "name", ["deploy/shop-worker.service", "deploy/kubernetes.yaml", "orders/Dockerfile", "orders/compose.yaml"]
)
def test_the_page_has_the_file(name: str) -> None:
    page = (EXAMPLES.parent / "docs" / "production.md").read_text()
    assert f"\n{(EXAMPLES / name).read_text()}```\n" in page


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def drain_timeout(command: list[str]) -> float:
    """Of a command that `steadypool work` takes."""
    assert command[:2] == ["steadypool", "work"]
    seconds: float = work_command.make_context("work", command[2:]).params["drain_timeout"]
    return seconds


def test_the_unit_runs_a_worker_that_ends_in_its_time(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    program, *arguments = shlex.split(unit()["ExecStart"])
    assert program.endswith("/bin/steadypool") and drain_timeout(["steadypool", *arguments]) < float(
        unit()["TimeoutStopSec"]
    )
    variable, _, _ = unit()["Environment"].partition("=")
    process = subprocess.Popen(
        [sys.executable, "-m", "steadypool.cli", *arguments],
        cwd=tmp_path,
        env=os.environ | {variable: f"sqlite:///{tmp_path}/jobs.db"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = next(line for line in process.stderr if "is ready" in line or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=40)
    assert process.returncode == 0, said + rest


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    steadypool = Path(sys.executable).parent / "steadypool"
    text = re.sub(r"(?<=ExecStart=)\S+", str(steadypool), UNIT.read_text())
    (tmp_path / UNIT.name).write_text(text.replace("User=shop\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name], capture_output=True, text=True, check=False
    )
    assert UNIT.name not in done.stderr, done.stderr


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / "deploy" / "kubernetes.yaml").read_text()))


def test_the_manifest_is_what_kubernetes_takes() -> None:
    for manifest in manifests():
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_worker_of_the_manifest_has_time_to_drain_and_answers_probes() -> None:
    [pod] = [one["spec"]["template"]["spec"] for one in manifests() if one["kind"] == "Deployment"]
    [container] = pod["containers"]
    assert drain_timeout(container["command"]) < pod["terminationGracePeriodSeconds"]
    parameters = work_command.make_context("work", container["command"][2:]).params
    assert parameters["status_port"] == container["ports"][0]["containerPort"]
