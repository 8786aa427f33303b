"""The page on the architecture agrees with the import contracts, the packages and the tree of the tests."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, names_in, page
from tests.tidy.test_floors import floors

SOURCE = ROOT / "src" / "steadypool"
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


_NAMES = r"(?:`(\w+)`,\s+)?(?:`(\w+)`\s+and\s+)?`(\w+)`"
_DEFINITION = re.compile(
    r"^\s*(?:(?:async )?def|class) (\w+)|^\s*(?:\w+\.)*(\w+)(?:: .*)? = |^CREATE .*(?:FUNCTION|VIEW) @schema@\.(\w+)",
    re.MULTILINE,
)


def definitions(text: str) -> set[str]:
    """What a file of Python or SQL defines."""
    return {name for names in _DEFINITION.findall(text) for name in names if name}


def contract(name: str) -> list[str]:
    """The layers of an import contract, the lowest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [layers] = [c["layers"] for c in settings["tool"]["importlinter"]["contracts"] if c["name"] == name]
    return list(reversed(layers))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_package_names_its_floor(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    floor = re.match(r"Floor (\d), ", text)
    assert floor is not None, text
    assert int(floor[1]) == floors()[package.relative_to(SOURCE).parts[0]]


@pytest.mark.parametrize("name", ["pools", "durable"])
def test_the_picture_shows_the_walls(name: str) -> None:
    [line] = [line for line in page("architecture").text.splitlines() if re.match(rf" \d   {name}/ ", line)]
    shown = [re.findall(r"\w+", part) for part in line.partition(f"{name}/")[2].split("──▶")]
    assert shown == [re.findall(r"\w+", layer) for layer in reversed(contract(name))]


def test_each_change_names_its_files_and_tests() -> None:
    changes = [row for table in page("architecture").tables("changes") for row in table]
    for change, begin, _, tests in changes:
        assert any((SOURCE / name).exists() for name in names_in(begin)), change
        assert names_in(tests) and all((ROOT / name).exists() for name in names_in(tests)), change


def test_the_parts_of_a_pool_of_processes_are_those_that_it_makes() -> None:
    folder = SOURCE / "pools" / "processes"
    tree = ast.parse((folder / "workers.py").read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    made = {
        f"{node.module.removeprefix('steadypool.').replace('.', '/')}.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("steadypool.pools.processes.")
        and any(alias.name in called and alias.name[0].isupper() for alias in node.names)
    }
    assert {names_in(row[0])[0] for row in page("architecture").table("parts")} == made


def test_each_name_is_defined_in_the_file_that_it_is_said_to_be_in() -> None:
    text = page("architecture").text
    said = re.findall(rf"{_NAMES}\s+(?:in|of)\s+`([\w/]+\.(?:py|sql))`", text)
    assert len(said) > 40
    for *names, file in said:
        for name in filter(None, names):
            assert name in definitions((SOURCE / file).read_text(encoding="utf-8")), (name, file)
            if file.endswith(".sql"):
                later = [other for other in (SOURCE / file).parent.glob("0*.sql") if other.name > Path(file).name]
                found = [other.name for other in later if name in definitions(other.read_text(encoding="utf-8"))]
                assert not found, f"{name} of {file} is replaced in {found}"
