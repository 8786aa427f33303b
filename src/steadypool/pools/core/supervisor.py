"""The control plane's loop: does what is due, ends what is overdue, and walks the drain ladder.

It sleeps until the next moment that something is due and is rung for everything else; an idle pool's supervisor
never wakes. It runs no code of the user's: callbacks and finalizers go to the callback thread, events to the messenger,
what is needed at once (a ``repr``, a ``__str__``) aside, for a moment at most, and results of classes to the loader
(`pools.processes.loader`).

Every step takes jobs out of their places atomically and changes books under the pool's lock, so two threads may
run it at once. That is what makes a drain end even if this thread is held up: by a sink that hangs, or because at
interpreter exit no thread can be started. The draining thread then runs the same loop.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from steadypool.model.clock import monotonic, sleep
from steadypool.model.lazy_module import events, reports
from steadypool.model.states import PoolState
from steadypool.pools.core.core import Core
from steadypool.pools.core.job_errors import cancelled_error
from steadypool.pools.core.report_rows import unfinished_rows
from steadypool.rules.drain import earlier, next_state, wakes_at

if TYPE_CHECKING:
    from steadypool.model.reports import DrainReport, UnfinishedJob

LATE = 0.25
"""Seconds after which this thread takes it that the whole program was held up: by a SIGSTOP, a debugger, a pause."""
CATCH_UP = 0.2
"""Seconds that the others then have: on a busy machine a thread waits so long for a core."""
LONGEST_AFTER_FAULT = 1.0
LONGEST_REST = 24 * 3600.0
"""Seconds; as asyncio's event loops have it."""

AFTER_FAULT = 0.05
"""Seconds before the supervisor goes on after an internal error, so that a lasting one does not spin."""


def supervise(core: Core) -> None:
    """Look after the pool until it is closed."""
    with core.user_calls.hurrying():
        try:
            _supervise(core)
        finally:
            core.bell.ring()  # for another that may be at it too
        core.workers.shut_down_workers()


def _supervise(core: Core) -> None:
    faults = 0
    wake: float | None = None
    while not core.is_closed():
        caught_up = wake is not None and _catch_up_with(wake)
        core.next_wake = float("inf")
        # From here on a thread that has something earlier rings: what this pass does not see, the next one will.
        try:
            wake = earliest_wake(step(core, caught_up))
            core.next_wake = float("inf") if wake is None else wake
            if not core.is_closed():
                core.workers.rest(wake)
            faults = 0
        except Exception as fault:
            # Impossible, and said aloud; but no other thread keeps time limits and ends drains, so it goes on.
            faults += 1
            if not faults & (faults - 1):  # the first, second, fourth, ... in a row
                core.user_calls.log("internal error in pool %r: please report it", core.name, fault=fault)
            sleep(min(AFTER_FAULT * faults, LONGEST_AFTER_FAULT))


def _catch_up_with(due: float) -> bool:
    """If the program was stopped for a while when this was due, let what has ended since say so first."""
    if monotonic() <= due + LATE:
        return False
    sleep(CATCH_UP)
    return True


def earliest_wake(due: float | None) -> float | None:
    """When to wake for what is *due*: within a day, since no selector takes a wait of months."""
    return None if due is None else min(due, monotonic() + LONGEST_REST)


def step(core: Core, caught_up: bool) -> float | None:
    """Do all that is due now. Returns when something will be due next."""
    core.workers.sent.hear_all()
    take_requests(core)
    do_due(core)
    opens = look_at_limits(core)
    if core.broken_by is not None:
        core.fail_waiting()  # also what a thread put back that held it while the pool broke
    deadline = _end_overdue_attempts(core, caught_up)
    walk_ladder(core)
    core.forecast.look()
    with core.lock:
        due = core.timers.next_due()
    return earlier(earlier(earlier(due, deadline), opens), wakes_at(core.state, core.deadline, core.grace_ends))


def look_at_limits(core: Core) -> float | None:
    """Let through what may pass its limits by now; returns when the next gate opens by itself."""
    core.settlement.settle_dropped()
    return core.limits.look()


def do_due(core: Core) -> None:
    while True:
        with core.lock:
            task = core.timers.take_due(monotonic())
        if task is None:
            return
        action, args = task
        action(*args)


def _end_overdue_attempts(core: Core, caught_up: bool) -> float | None:
    """Time out the attempts whose limit has passed; returns when the next one's will.

    The program may have been stopped before this thread has seen a limit at all.
    """
    nearest: float | None = None
    for job in core.workers.jobs_with_limits():
        ends = core.workers.attempt_ends(job)
        if ends is None:
            continue
        if ends <= monotonic():
            caught_up = caught_up or _catch_up_with(ends)
            core.termination.attempt_time_is_up(job)
        else:
            nearest = earlier(nearest, ends)
    return nearest


# -- the drain ladder


def take_requests(core: Core) -> None:
    """Act on drains that were asked for: the earliest time limit holds."""
    while core.requests:
        try:
            seconds = core.requests.popleft()
        except IndexError:
            return  # another thread runs this too
        begin_drain(core, seconds)


def begin_drain(core: Core, seconds: float | None) -> None:
    """Stop taking jobs, and have the drain end *seconds* from now at the latest."""
    with core.lock:
        first = core.state is PoolState.OPEN
        if first:
            core.refusal = core.closed_error
            core.move_to(PoolState.DRAINING)
            core.drain_began = monotonic()
        if seconds is not None:
            core.deadline = earlier(core.deadline, monotonic() + seconds)
    if first:
        core.queue.wake_all_producers()
        if len(core.queue):
            # Ctrl-C may have come between putting a job into the queue and waking a worker for it.
            with suppress(RuntimeError):  # no thread can be started now
                core.workers.wake_worker()
        if core.emitter.sinks:
            core.emitter.emit(events.PoolDraining(core.name, monotonic(), seconds))


def walk_ladder(core: Core) -> None:
    while True:
        ended = (
            core.state not in (PoolState.OPEN, PoolState.CLOSED) and core.all_ended() and not core.workers.in_grace()
        )
        to = next_state(core.state, monotonic(), core.deadline, core.grace_ends, ended)
        if to is core.state:
            return
        if to is PoolState.CANCELLING:
            _cancel_all(core)
        elif not ended and not _give_up_all(core):
            return
        else:
            close(core)


def _cancel_all(core: Core) -> None:
    """The time is up: give back what waits and tell what runs."""
    with core.lock:
        if core.state is not PoolState.DRAINING:
            return
        core.move_to(PoolState.CANCELLING)
        # From the limit, not from now: the promise is the sum, however late this thread is.
        began = monotonic() if core.deadline is None else core.deadline
        core.grace_ends = began + core.settings.cancel_grace
        # Before the sweep: a job that is on its way from the queue to a worker is stopped by the worker.
        core.attention = True
    if core.emitter.sinks:
        core.emitter.emit(events.PoolCancelling(core.name, monotonic()))
    give_back_waiting(core)
    for job in core.workers.held_jobs():
        core.termination.tell(job, "shutdown", cancelled_error(job, "shutdown"))


def give_back_waiting(core: Core) -> None:
    """Settle everything that waits: never started is RETURNED, between two attempts is INTERRUPTED."""
    core.workers.sent.reclaim_waiting()
    for job in core.retries.jobs():
        if core.retries.take(job):
            core.settlement.hand_back(job)
    while (waiting := core.workers.take_waiting()) is not None:
        core.settlement.hand_back(waiting)


def _give_up_all(core: Core) -> bool:
    """The grace is over: settle what still runs. False if a job is just between two places: look again."""
    for job in core.workers.held_jobs():
        core.termination.tell(job, "shutdown", cancelled_error(job, "shutdown"))
        core.termination.give_up_job(job)
    give_back_waiting(core)
    if core.all_ended():
        return True
    core.grace_ends = monotonic() + 0.001
    return False


def close(core: Core) -> None:
    """Every job has its outcome: write the report and wake all waiters."""
    unfinished = unfinished_rows(core.settings.show_arguments, core.settlement.returned)
    with core.lock:
        if core.state is PoolState.CLOSED:
            return
        by_themselves = (
            core.state is PoolState.DRAINING and not core.settlement.returned and not core.settlement.interrupted
        )
        core.move_to(PoolState.CLOSED)
        core.report = _write_report(core, unfinished, on_time=by_themselves)
        returned, core.settlement.returned = core.settlement.returned, []
        core.attention = True
    if returned:  # with the arguments of its jobs
        core.user_calls.deliver(returned.clear, "a finalizer of what a job was called with")
    core.workers.wake_all_workers()
    if core.emitter.sinks:
        core.emitter.emit(events.PoolClosing(core.name, monotonic(), by_themselves))
    try:
        for call in core.at_close:
            call()
    finally:
        core.closed.set()
        core.bell.ring()


def _write_report(core: Core, unfinished: tuple[UnfinishedJob, ...], *, on_time: bool) -> DrainReport:
    """The report of a pool that has just been closed. The lock is held."""
    return reports.DrainReport(
        name=core.name,
        state=core.state,
        elapsed=monotonic() - core.drain_began,
        on_time=on_time,
        stats=core.stats(),
        unfinished=unfinished,
        interrupted=tuple(core.settlement.interrupted),
        stuck=core.workers.stuck_rows(),
        errors=core.ledger.groups(),
    )
