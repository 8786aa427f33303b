"""How much memory this process takes, for ``max_memory_per_child``."""

from __future__ import annotations

from collections.abc import Callable


def memory_reader() -> Callable[[], int]:
    """What gives the resident memory of this process, in bytes.

    Raises:
        OSError: it cannot be read here.
    """
    import psutil

    def resident() -> int:
        size: int = process.memory_info().rss
        return size

    try:
        process = psutil.Process()
        resident()
    except (psutil.Error, OSError) as error:
        raise OSError(
            "max_memory_per_child cannot be kept here, since the memory of a process cannot be read "
            f"(is /proc mounted?): {error}"
        ) from error
    return resident
