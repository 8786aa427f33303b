"""What the page for contributors says is so, and is held by the tests that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import OTHERS, ROOT, names_in

SOURCE = ROOT / "src" / "steadypool"
TESTS = ROOT / "tests"
[CONTRIBUTING] = [page for page in OTHERS if page.name == "CONTRIBUTING.md"]
IMPURE = frozenset({"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"})


def test_each_rule_names_what_holds_it() -> None:
    for rule, holder in CONTRIBUTING.table("rules"):
        assert "make check" in holder or all((ROOT / name).exists() for name in names_in(holder)), rule


@pytest.mark.parametrize("path", sorted((SOURCE / "rules").glob("*.py")), ids=lambda path: path.stem)
def test_a_rule_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} & IMPURE == set()
    assert "steadypool.model.clock" not in imported


def test_tests_follow_the_tree() -> None:
    said = {names_in(row[0])[0] for row in CONTRIBUTING.table("test-folders")}
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")} - {TESTS.relative_to(TESTS)}
    elsewhere = {f"tests/{folder}" for folder in folders if not (SOURCE / folder).is_dir()}
    assert elsewhere == said


def test_the_limits_of_ruff_are_as_said() -> None:
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^max-complexity = 10$", settings, re.MULTILINE)
    assert re.search(r"^line-length = 120$", settings, re.MULTILINE)
    assert "PLR0912" in settings and "PLR0915" in settings  # 12 branches and 50 statements, unless they are set
    assert "max-branches" not in settings and "max-statements" not in settings
