"""Floor 3, the sinks: they make logs, metrics and traces of events.

What users import is named here and loaded when it is first asked for, so a program needs the library of no sink but its
own. Each library is imported by one file alone.
"""

from typing import TYPE_CHECKING

from steadypool.model.lazy_module import getattr_of

if TYPE_CHECKING:
    from steadypool.model.log_line import (
        LogLine,
    )
    from steadypool.model.queue_depth import (
        QueueDepth,
    )
    from steadypool.model.sink_protocols import (
        ContextCarrier,
        QueueWatcher,
        Sink,
        Watched,
        WatchedQueues,
        Watcher,
    )
    from steadypool.sinks.logging import (
        LoggingSink,
    )
    from steadypool.sinks.opentelemetry import (
        OpenTelemetrySink,
    )
    from steadypool.sinks.prometheus import (
        PrometheusSink,
    )

__all__ = [
    "ContextCarrier",
    "LogLine",
    "LoggingSink",
    "OpenTelemetrySink",
    "PrometheusSink",
    "QueueDepth",
    "QueueWatcher",
    "Sink",
    "Watched",
    "WatchedQueues",
    "Watcher",
]

_PLACES = {
    "steadypool.model.log_line": "LogLine",
    "steadypool.model.queue_depth": "QueueDepth",
    "steadypool.model.sink_protocols": "ContextCarrier QueueWatcher Sink Watched WatchedQueues Watcher",
    "steadypool.sinks.logging": "LoggingSink",
    "steadypool.sinks.opentelemetry": "OpenTelemetrySink",
    "steadypool.sinks.prometheus": "PrometheusSink",
}

if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, _PLACES)


def __dir__() -> list[str]:
    """All public names, those too that are not loaded yet."""
    return sorted({*globals(), *__all__})
