"""No two modules import each other, by whatever way: imports for types and those inside functions count."""

from __future__ import annotations

import grimp

WAYS_UP = {
    ("steadypool.durable.client.queue", "steadypool.durable.worker.worker"),
    ("steadypool.durable.client.queue", "steadypool.durable.worker.settings"),
    ("steadypool.durable.client.queue", "steadypool.durable.worker.report"),
}
"""`Queue.work` starts a worker: the one exception for good."""


def circles() -> set[frozenset[str]]:
    """Groups of modules each of which reaches every other by imports."""
    graph = grimp.build_graph("steadypool", cache_dir=None)
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    for importer, imported in WAYS_UP:
        imports[importer].discard(imported)
    for name in [name for name in imports if any(other.startswith(f"{name}.") for other in imports)]:
        imports[name] = set()  # a package names what is public, wherever it is
    return {frozenset(short(name) for name in group) for group in _groups(imports) if len(group) > 1}


def short(name: str) -> str:
    return name.removeprefix("steadypool.")


def _groups(imports: dict[str, set[str]]) -> set[frozenset[str]]:
    reached = {name: _reached(name, imports) for name in imports}
    return {frozenset(other for other in reached[name] if name in reached[other]) for name in imports}


def _reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for name in imports[ahead.pop()] - found:
            found.add(name)
            ahead.append(name)
    return found


def test_modules_import_one_another_one_way() -> None:
    assert circles() == set()
