"""The pools of this program that may be watched from outside (``monitor=True``), and what is answered about them.

Theory of operation
-------------------
The first such pool opens the program's socket (`pools.monitor.socket_dir`) and a thread that receives clients
(`pools.monitor.line_server`); the last to close ends both, and the end of the interpreter at the latest. The thread
sleeps until a client says something. Nothing else is done for a pool while no viewer looks: no event is made, no clock
read.

A client asks in JSON, a line for each question, and is answered in lines ``{"kind": …, "body": …}``:

* ``{"do": "look"}``: a `Snapshot`. The first look subscribes a `TaskTimer` to each pool, so that run times are known
  from then on; when the last client has left it is taken off again.
* ``{"do": "stack", "pool": 1, "job": "…"}``: where the job is now, and what it was called with.
* ``{"do": "cancel", "pool": 1, "job": "…"}``: the job is asked to stop.
* ``{"do": "errors", "pool": 1}``: what has failed, with tracebacks.
* ``{"do": "drain", "pool": 1, "seconds": 30}``: the pool begins to drain.

A pool that closes says how it ended to all viewers, on the thread that closes it, since the program may be
gone a moment later. It waits for none of them.

``_lock`` protects which pools there are and whether the thread goes on. A core's lock is never taken under it.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from steadypool.model.clock import monotonic
from steadypool.model.monitor_messages import Ending, Question
from steadypool.model.snapshots import Snapshot, TaskTimes
from steadypool.pools.core import at_exit
from steadypool.pools.monitor.json_line import as_json
from steadypool.pools.monitor.line_server import Client, LineServer
from steadypool.pools.monitor.snapshots import take_snapshot
from steadypool.pools.monitor.socket_dir import Listener, open_listener
from steadypool.pools.monitor.task_times import TaskTimer
from steadypool.primitives.arguments import plain_text

if TYPE_CHECKING:
    from steadypool.model.reports import ErrorGroup
    from steadypool.pools.core.core import Core

MOST_GROUPS = 20
"""Groups of failures that are shown with their tracebacks."""
MAX_PROGRAM = 300
"""Characters of the command line."""


class Monitor:
    """What can be watched of this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pools: dict[int, weakref.ref[Core]] = {}
        self._last_number = 0
        self._timers: dict[int, TaskTimer] = {}
        self._listener: Listener | None = None
        self._server: LineServer | None = None

    # -- which pools there are

    def add(self, core: Core) -> None:
        """Let the pool be watched, until it is closed.

        Raises:
            OSError: there is no place for the program's socket.
            RuntimeError: no thread can be started.
        """
        with self._lock:
            if self._server is None:
                self._open()
            self._last_number += 1
            number = self._last_number
            self._pools[number] = weakref.ref(core, lambda _: self.ring())
        core.at_close.append(partial(self._closed, number))

    def _open(self) -> None:
        self._listener = listener = open_listener()
        try:
            self._server = LineServer(listener.socket, self._answer, self._goes_on)
            self._server.start()
        except BaseException:
            self._server, self._listener = None, None
            listener.close()
            raise

    def ring(self) -> None:
        """Have the thread see which pools are left. Takes no lock."""
        server = self._server
        if server is not None:
            server.ring()

    def remove_name(self) -> None:
        """The interpreter ends: leave nothing behind."""
        listener = self._listener
        if listener is not None:
            listener.remove_name()

    def _cores(self) -> list[tuple[int, Core]]:
        with self._lock:
            found = [(number, reference()) for number, reference in self._pools.items()]
        return [(number, core) for number, core in found if core is not None]

    def _goes_on(self) -> bool:
        """On the server's thread: whether there is anything left to watch. If not, the socket goes."""
        with self._lock:
            for number, reference in list(self._pools.items()):
                if reference() is None:
                    del self._pools[number]
            if not self._pools:
                # Under the lock: a pool that comes now opens anew.
                if self._listener is not None:
                    self._listener.close()
                self._listener = self._server = None
                self._timers.clear()
                return False
            watched = self._server is not None and any(client.asked for client in self._server.clients)
        if not watched:
            self._listen_no_more()
        return True

    def _closed(self, number: int) -> None:
        """The pool has closed: tell every viewer how, and let the thread see. It stays on the books until they know."""
        server, core = self._server, dict(self._cores()).get(number)
        try:
            if server is not None and core is not None and any(v.asked for v in list(server.clients)):
                ending = Ending(take_snapshot(core, number, self._times(number)), str(core.report))
                server.say_to_all(_line("ended", ending))
        finally:
            with self._lock:
                self._pools.pop(number, None)
            self.ring()

    # -- run times

    def _listen(self, number: int, core: Core) -> None:
        timer = self._timers[number] = TaskTimer()
        core.emitter.add_sink(timer)

    def _listen_no_more(self) -> None:
        timers, self._timers = self._timers, {}
        for number, core in self._cores() if timers else ():
            if number in timers:
                core.emitter.remove_sink(timers[number])

    def _times(self, number: int) -> tuple[TaskTimes, ...]:
        timer = self._timers.get(number)
        return () if timer is None else timer.slowest()

    # -- answers, on the server's thread

    def _answer(self, client: Client, line: bytes) -> bytes:
        json: Any = import_module("msgspec.json")
        try:
            question = json.decode(line, type=Question)
        except ValueError as error:
            return _line("refused", f"this is no question: {error}")
        if question.do == "look":
            self._listen_to_all()
        if question.do in ("look", "glance"):
            return _line("snapshot", self._look())
        core = dict(self._cores()).get(question.pool)
        if core is None or core.is_closed():
            return _line("refused", f"there is no pool {question.pool} any more")
        if question.do == "stack":
            return _line("stack", _stack(core, question.job))
        if question.do == "cancel":
            return _line(*_cancel(core, question.job))
        if question.do == "errors":
            return _line("errors", _errors(core.ledger.groups()))
        if question.seconds is not None and not question.seconds >= 0:
            return _line("refused", f"a drain's limit is 0 seconds or more, not {question.seconds}")
        core.request_drain(question.seconds)
        return _line("draining", core.name)

    def _listen_to_all(self) -> None:
        for number, core in self._cores():
            if number not in self._timers and not core.is_closed():
                self._listen(number, core)

    def _look(self) -> Snapshot:
        cores = [(number, core) for number, core in self._cores() if not core.is_closed()]
        return Snapshot(
            version=import_module("steadypool").__version__,
            pid=os.getpid(),
            program=shlex.join(sys.orig_argv)[:MAX_PROGRAM],
            at=monotonic(),
            pools=tuple(take_snapshot(core, number, self._times(number)) for number, core in cores),
        )

    # -- fork

    def after_fork(self) -> None:
        """In a forked child: what is open here is the parent's, and goes on there."""
        if self._server is not None and self._listener is not None:
            with suppress(OSError):  # on some systems the child has no copy of the selector
                self._server.close()
            self._listener.socket.close()


def _stack(core: Core, job_id: str) -> str:
    """Where the job is now and what it was called with, or what has become of it."""
    for job in core.workers.held_jobs():
        if job.job_id == job_id:
            meta, arguments = job._options.meta, core.user_calls.plain_arguments_of(job)
            return _facts(arguments, meta, job._progress) + core.workers.stack_of(job._worker, job)[0]
    for row in core.workers.stuck_rows():
        if row.id == job_id:
            return _facts(row.arguments, row.meta, None) + row.stack
    return f"job {job_id} does not run any more\n"


def _facts(arguments: str, meta: Mapping[str, object] | None, progress: tuple[float, float | None] | None) -> str:
    """Lines above a stack. No code of the user's runs for them."""
    lines = [f"  called with {arguments}"] if arguments else []
    if meta:
        lines.append(f"  meta {plain_text(True, (), dict(meta))}")
    if progress is not None:
        done, total = progress
        lines.append(f"  progress {done:g}" if total is None else f"  progress {done:g} of {total:g}")
    return "".join(f"{line}\n" for line in lines)


def _errors(groups: Sequence[ErrorGroup]) -> str:
    """The most frequent groups. Arguments are in it as the pool shows them, tracebacks as the ledger keeps them."""
    parts = [str(group) for group in groups[:MOST_GROUPS]]
    if len(groups) > MOST_GROUPS:
        parts.append(f"... and {len(groups) - MOST_GROUPS} more groups")
    return "\n\n".join(parts or ["nothing has failed"]) + "\n"


def _cancel(core: Core, job_id: str) -> tuple[str, str]:
    """Tell the job to stop; the kind of the answer, and what it says."""
    for job in core.workers.held_jobs():
        if job.job_id == job_id:
            core.workers.supervision.cancel_from_outside(job)
            return "told", f"job {job_id} is asked to stop"
    if any(row.id == job_id for row in core.workers.stuck_rows()):
        return "refused", f"job {job_id} was asked to stop before, and does not"
    return "refused", f"job {job_id} does not run any more"


def _line(kind: str, body: object) -> bytes:
    return as_json({"kind": kind, "body": body}) + b"\n"


_monitor = Monitor()


def watch(core: Core) -> None:
    """Let a pool of this process be watched until it is closed. See `Monitor.add`."""
    _monitor.add(core)


def _at_last() -> None:
    _monitor.remove_name()


def _forked() -> None:
    global _monitor
    before, _monitor = _monitor, Monitor()
    before.after_fork()


at_exit.at_last(_at_last)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
