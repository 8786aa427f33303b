"""The books, as frozen records: `PoolStats`, `ErrorGroup`, `DrainReport` and their rows."""

# Annotations are real here, not texts: who decodes these records looks them up, and the public ones say another
# module than this one.
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from steadypool.model.printable import printable, printable_lines
from steadypool.model.quantities import clock_time, counted
from steadypool.model.states import Outcome, PoolState


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One worker, as `PoolStats` lists it."""

    name: str
    pid: int | None
    """Its process; ``None`` for a thread of this one."""
    job_id: str | None
    """The job it runs now."""
    task: str | None
    running_for: float
    """Seconds the current attempt has run; 0.0 when idle."""
    jobs_done: int
    restarts: int = 0
    """Workers that had this one's place before it, one after another, and died or were killed (processes)."""
    progress: tuple[float, float | None] | None = None
    """How far the job is, and of how much, as it said last (`JobContext.progress`)."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool's books at one moment. They balance: see `balanced`."""

    name: str
    state: PoolState
    accepted: int
    """Jobs the pool took on since it was opened."""
    waiting: int
    running: int
    retrying: int
    """Jobs between two attempts, waiting for their backoff."""
    succeeded: int
    failed: int
    timed_out: int
    cancelled: int
    crashed: int
    returned: int
    interrupted: int
    rejected: int
    """Jobs refused because the queue was full; they were never accepted."""
    retries: int
    """Attempts beyond the first."""
    stuck: int
    """Workers left behind with a job that did not stop."""
    workers: int
    """Workers alive now, the stuck ones not counted."""
    max_workers: int
    capacity: int
    """How many jobs can run at a time; less than *max_workers* when too many are stuck."""
    queue_size: int | None
    """How many jobs may wait; ``None``: any number."""
    restarts: int = 0
    """Workers started in the place of one that died or was killed (processes)."""
    sink_errors: int = 0
    """Exceptions that sinks raised; they are muted."""
    oldest_waiting: float = 0.0
    """Seconds since the submit of the job that has waited longest; 0.0 if none waits."""
    drain_estimate: float | None = None
    """Seconds that a drain would take from now, going by measured run times and what there is to run; ``None`` if no
    run was measured."""
    held_back: Mapping[str, int] = field(default_factory=dict)
    """Of the jobs that wait, those that a `Limit` holds back, by its name."""
    worker_rows: tuple[WorkerStats, ...] = ()

    @property
    def ended(self) -> int:
        """Jobs that have an outcome."""
        return sum(getattr(self, outcome.value) for outcome in Outcome)

    @property
    def balanced(self) -> bool:
        """Whether every accepted job is in exactly one place."""
        return self.accepted == self.waiting + self.running + self.retrying + self.ended

    def __str__(self) -> str:
        return "\n".join(map(printable, _stats_lines(self)))


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures of one task, by one exception type, raised on one line."""

    task: str
    type_name: str
    where: str
    """``file:line in function`` of the line that raised."""
    count: int
    first_seen: float
    """Seconds since the epoch."""
    last_seen: float
    traceback: str
    """Of the first failure in the group."""
    job_ids: tuple[str, ...]
    """Some of the jobs, the latest last."""
    message: str = ""
    """The message of the first failure in the group."""
    arguments: tuple[str, ...] = ()
    """What the jobs of *job_ids* were called with, shortened; empty texts where the pool does not show arguments."""
    attempts: int = 0
    """How often the group's jobs ran in all, retries included."""
    rate: float = 0.0
    """Failures per second, averaged over the last minute or so before this was read."""

    @property
    def sample(self) -> str:
        """The latest job of the group, as ``id(arguments)``."""
        return "".join((*self.job_ids[-1:], *self.arguments[-1:]))

    def __str__(self) -> str:
        """With the latest job and the traceback."""
        rate = f"{self.rate * 60:.1f} a minute"
        times = f"first {clock_time(self.first_seen)}, last {clock_time(self.last_seen)}, {rate}"
        head = (
            f"{self.count:,} x {self.task}: {self.type_name}: {self.message}",
            f"  at {self.where or 'an unknown place'}; {times}",
            f"  latest job: {self.sample}",
        )
        trace = printable_lines(self.traceback.rstrip()).split("\n")
        return "\n".join((*map(printable, head), *_rows(trace)))


@dataclass(frozen=True, slots=True)
class JobFailure:
    """One job that failed, timed out or crashed, as `on_error` gets it."""

    pool: str
    job_id: str
    task: str
    outcome: Outcome
    error: BaseException
    """What the future raises."""
    attempts: int
    """How often the job ran."""
    arguments: str
    """What it was called with, as the pool shows arguments."""
    meta: Mapping[str, Any] | None
    """The task's ``meta`` option."""
    group: ErrorGroup
    """The group that it belongs to, itself counted: the first of its kind has ``group.count == 1``."""


@dataclass(frozen=True, slots=True)
class UnfinishedJob:
    """A job that never started and was handed back."""

    id: str
    task: str
    arguments: str
    """The arguments' ``repr``, shortened, or what the pool's ``show_arguments`` makes of them."""
    waited: float
    """Seconds since it was submitted."""
    meta: Mapping[str, Any] | None = field(default=None, hash=False)
    """The task's ``meta`` option."""


@dataclass(frozen=True, slots=True)
class InterruptedJob:
    """A job that had started and was stopped, or left stuck, by a drain."""

    id: str
    task: str
    attempts: int
    running_for: float
    """Seconds its last attempt ran; 0.0 if it was between two attempts."""
    meta: Mapping[str, Any] | None = field(default=None, hash=False)
    """The task's ``meta`` option."""
    arguments: str = ""
    """What it was called with: plain values, and of others the type, since no code of theirs may hold up the report."""


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job that was asked to stop and still runs."""

    id: str
    task: str
    running_for: float
    """Seconds since this attempt began."""
    stack: str
    """Where it is, as text."""
    cause: str
    """Why it was asked to stop: ``"timeout"``, ``"cancelled"`` or ``"shutdown"``."""
    meta: Mapping[str, Any] | None = field(default=None, hash=False)
    """The task's ``meta`` option."""
    arguments: str = ""
    """What it was called with: plain values, and of others the type, since no code of theirs may hold up the report."""


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of every job when the pool was closed."""

    name: str
    state: PoolState
    elapsed: float
    """Seconds the drain took."""
    on_time: bool
    """All accepted jobs ended on their own before the time limit."""
    stats: PoolStats
    unfinished: tuple[UnfinishedJob, ...] = ()
    """Jobs handed back without having started."""
    interrupted: tuple[InterruptedJob, ...] = ()
    stuck: tuple[StuckJob, ...] = ()
    """Every job still running, whenever it was asked to stop."""
    errors: tuple[ErrorGroup, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """Anything else worth knowing, such as a callback that had not ended."""

    @property
    def ok(self) -> bool:
        """Nothing was given back, interrupted or left stuck. (Jobs that failed on their own are in *errors*.)"""
        return self.on_time and not (self.unfinished or self.interrupted or self.stuck)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data that ``json.dumps`` takes; what is no plain data in a ``meta`` is shown as text."""
        rows = {name: list(map(_plain_row, getattr(self, name))) for name in ("unfinished", "interrupted", "stuck")}
        rest = asdict(replace(self, unfinished=(), interrupted=(), stuck=()), dict_factory=_plain)
        return {**rest, **rows, "ok": self.ok}

    def __str__(self) -> str:
        return "\n".join(map(printable, _lines(self)))


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """A record's fields as JSON would give them back: lists for tuples, words for states."""
    plain: dict[str, Any] = {}
    for name, value in items:
        plain[name] = list(value) if isinstance(value, tuple) else value.value if isinstance(value, Enum) else value
    return plain


def _plain_row(row: UnfinishedJob | InterruptedJob | StuckJob) -> dict[str, Any]:
    meta = None if row.meta is None else {str(key): _plain_value(value) for key, value in row.meta.items()}
    return {**asdict(replace(row, meta=None)), "meta": meta}


def _plain_value(value: object) -> str | int | float | None:
    if value is None or isinstance(value, str | int | float):
        return value
    try:
        return repr(value)
    except Exception as error:
        return f"<repr() raised {type(error).__name__}>"


_LISTED = 10
"""How many jobs of a kind the text shows."""


_OUTCOMES = tuple(outcome.value for outcome in Outcome)


def _counts(stats: PoolStats, names: Iterable[str]) -> str:
    """Those that are not zero."""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name in names if (count := getattr(stats, name)))


def _stats_lines(stats: PoolStats) -> list[str]:
    at_once = "" if stats.capacity == stats.max_workers else f", {counted(stats.capacity, 'job')} at a time"
    room = "any number of jobs" if stats.queue_size is None else counted(stats.queue_size, "job")
    beside = [
        f"{name}: {count}"
        for name, count in (
            ("rejected", stats.rejected),
            ("retries", stats.retries),
            ("stuck workers", stats.stuck),
            ("restarts", stats.restarts),
            ("sink errors", stats.sink_errors),
            *((f"held back by {limit}", jobs) for limit, jobs in stats.held_back.items()),
        )
        if count
    ]
    times = [f"the oldest job has waited {stats.oldest_waiting:.1f} s"] if stats.oldest_waiting else []
    times += [f"a drain would take {stats.drain_estimate:.1f} s"] if stats.drain_estimate else []
    busy = [row for row in stats.worker_rows if row.job_id is not None]
    return [
        f"pool {stats.name!r} {stats.state.value}: {stats.workers} of {stats.max_workers} workers{at_once}, "
        f"room for {room} to wait",
        f"  {stats.accepted} accepted: {_counts(stats, ('waiting', 'running', 'retrying', *_OUTCOMES)) or 'none'}",
        *(f"  {', '.join(facts)}" for facts in (beside, times) if facts),
        *(f"  {row.name} runs {row.job_id} {row.task} for {row.running_for:.1f} s" for row in busy[:_LISTED]),
        *_more(len(busy) - _LISTED),
    ]


def _lines(report: DrainReport) -> list[str]:
    lines = [f"pool {report.name!r} {report.state.value} after {report.elapsed:.2f} s: {_verdict(report)}"]
    lines.append(f"  {report.stats.accepted} accepted: {_counts(report.stats, _OUTCOMES) or 'none ended'}")
    lines += _section(
        "never started", [f"{j.id} {j.task}{j.arguments} waited {j.waited:.1f} s" for j in report.unfinished]
    )
    lines += _section(
        "interrupted",
        [
            f"{j.id} {j.task}{j.arguments} in attempt {j.attempts}, ran {j.running_for:.1f} s"
            for j in report.interrupted
        ],
    )
    lines += _stuck_lines(report.stuck)
    if report.errors:
        jobs = sum(group.count for group in report.errors)
        title = f"errors: {counted(len(report.errors), 'group')} ({counted(jobs, 'job')})"
        lines += [f"  {title}", *_rows([line for group in report.errors[:_LISTED] for line in _error_lines(group)])]
        lines += _more(len(report.errors) - _LISTED)
    lines += [f"  note: {note}" for note in report.notes]
    return lines


def _verdict(report: DrainReport) -> str:
    stuck = len(report.stuck)
    if not report.on_time:
        return f"not everything ended in time{f', {stuck} stuck' if stuck else ''}"
    return f"every job has its outcome, but {stuck} {'is' if stuck == 1 else 'are'} stuck" if stuck else "on time"


def _stuck_lines(stuck: tuple[StuckJob, ...]) -> list[str]:
    """Jobs that are at the same place stand together, above it."""
    places: dict[str, list[StuckJob]] = {}
    for job in stuck:
        places.setdefault(job.stack, []).append(job)
    lines: list[str] = []
    for stack, jobs in list(places.items())[:_LISTED]:
        lines += [_stuck_line(job) for job in jobs[:_LISTED]]
        lines += [f"  ... and {len(jobs) - _LISTED} more there"] if len(jobs) > _LISTED else []
        if len(jobs) == 1:
            lines[-1] += ", is here:"
        else:
            lines.append(f"  all {len(jobs)} are here:")
        lines += [f"    {line}" for line in printable_lines(stack.rstrip()).split("\n")]
    if len(places) > _LISTED:
        lines.append(f"  ... and {len(places) - _LISTED} more places with stuck jobs")
    return lines


def _stuck_line(job: StuckJob) -> str:
    ran = f"running for {job.running_for:.1f} s, asked to stop ({job.cause})"
    return f"  stuck: {job.id} {job.task}{job.arguments} {ran}"


def _error_lines(group: ErrorGroup) -> list[str]:
    """A group of errors in two lines: what happened; and where, and to whom."""
    kind = group.type_name.removeprefix("steadypool.")
    where = f"at {group.where}" if group.where else ""  # a job that never started has no place
    latest = f"latest {group.sample}" if group.sample else ""
    about = ", ".join(filter(None, (where, latest)))
    return [f"{group.count:,} x {group.task}: {kind}: {group.message}", *([f"    {about}"] if about else [])]


def _rows(rows: list[str]) -> list[str]:
    return [f"    {row}" for row in rows]


def _more(count: int) -> list[str]:
    return [f"    ... and {count} more"] if count > 0 else []


def _section(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    return [f"  {title}: {len(rows)}", *_rows(rows[:_LISTED]), *_more(len(rows) - _LISTED)]
