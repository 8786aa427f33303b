"""No two modules import each other, by whatever way: imports for types and those inside functions count."""

from __future__ import annotations

import grimp

CIRCLES = {
    frozenset(
        {
            "pools.aio.attempt",
            "pools.aio.workers",
            "pools.aio.future",
            "pools.aio.loop_end",
            "pools.aio.nested_waits",
            "pools.aio.attempts",
            "pools.aio.shutdown",
        }
    ),
    frozenset({"pools.aio.group", "pools.aio.map", "pools.aio.map_input", "pools.aio.pool"}),
    frozenset(
        {
            "pools.executor.asyncio_bridge",
            "pools.executor.contract",
            "pools.executor.group",
            "pools.executor.map",
            "pools.executor.map_input",
        }
    ),
}
"""Those that are left. Each leaves the list when it has gone, and none joins it."""
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
    grown = {circle for circle in circles() if not any(circle <= known for known in CIRCLES)}
    assert grown == set()


def test_a_circle_that_has_gone_leaves_the_list() -> None:
    now = circles()
    assert {known for known in CIRCLES if not any(circle <= known for circle in now)} == set()
