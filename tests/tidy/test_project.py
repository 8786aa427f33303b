"""The files around the code agree with it: continuous integration, pre-commit, templates, versions."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.tidy.source import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_continuous_integration_runs_every_python_that_is_claimed() -> None:
    job = load(".github/workflows/ci.yml")["jobs"]["test"]
    claimed = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name}
    matrix = job["strategy"]["matrix"]
    assert set(matrix["python"]) == claimed
    assert set(matrix["system"]) == {"ubuntu-latest", "macos-latest"}
    assert {entry["python"] for entry in matrix["include"]} == {"3.13t", "3.14t"}, "allowed to fail"


def test_continuous_integration_runs_targets_of_make() -> None:
    steps = [step for job in load(".github/workflows/ci.yml")["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert {"make test", "make dist", "make docs"} <= {" ".join(command.split()[:2]) for command in commands}
    for command in commands:
        make, target, *_ = command.split()
        assert make == "make" and re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), command


def test_pre_commit_runs_what_make_check_runs() -> None:
    check = MAKEFILE.partition("\ncheck-source:")[2].partition("\n\n")[0].replace("$(BIN)", ".venv/bin")
    for name, value in re.findall(r"^(\w+) *:?= (.*)$", MAKEFILE, re.MULTILINE):
        check = check.replace(f"$({name})", value)
    for hook in load(".pre-commit-config.yaml")["repos"][0]["hooks"]:
        command = re.sub(r" --(fix|force-exclude)\b", "", hook["entry"])
        assert command in check, command


def test_a_report_asks_for_what_finds_the_cause() -> None:
    form = load(".github/ISSUE_TEMPLATE/bug.yml")
    asked = " ".join(str(field["attributes"]) for field in form["body"])
    assert all(word in asked for word in ("pool.dump()", "pool.stats()", "steadypool --version"))
    assert [field["id"] for field in form["body"] if field.get("validations")] == ["what", "version", "kind"]


def test_the_sdist_has_what_its_tests_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/src", "/tests", "/docs", "/examples", "/requirements", "/Makefile", "/mkdocs.yml"} <= set(included)
    assert all((ROOT / name.lstrip("/")).exists() for name in included)
