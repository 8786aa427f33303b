"""The floors have the same numbers wherever they are named: import contracts, architecture page, docstrings."""

from __future__ import annotations

import importlib
import re
import tomllib

import pytest

from tests.docs.pages import page
from tests.tidy.source import ROOT, SOURCE


def floors() -> dict[str, int]:
    """The floor of each package and public module, as the import contract has it: counted from the ground."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [layers] = [contract["layers"] for contract in contracts if contract["name"] == "floors"]
    named = [[name for name in re.findall(r"[a-z]\w+", layer) if is_there(name)] for layer in layers]
    from_the_ground = [names for names in reversed(named) if names]
    return {name: number for number, names in enumerate(from_the_ground, 1) for name in names}


def is_there(name: str) -> bool:
    """Whether it is more than a name that the contract keeps for later."""
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


@pytest.mark.parametrize("name", [name for name in floors() if (SOURCE / name).is_dir()])
def test_the_package_says_its_floor(name: str) -> None:
    said = re.match(r"Floor (\d+), ", importlib.import_module(f"steadypool.{name}").__doc__ or "")
    assert said is not None and int(said[1]) == floors()[name]


def test_the_architecture_page_has_them() -> None:
    said = {}
    for number, folders in re.findall(r"^\| (\d+) \| ([^|]*) \|", page("architecture").text, re.MULTILINE):
        said |= {folder: int(number) for folder in re.findall(r"`(\w+)(?:/|\.py)`", folders)}
    assert said == floors()
