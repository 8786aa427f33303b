"""A program whose queue takes the address of its environment."""

from __future__ import annotations

from steadypool import Queue

queue = Queue()


@queue.task
def greet(name: str) -> str:
    return f"hello {name}"
