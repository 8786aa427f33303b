"""One frame of the view: lines of text for a screen of a given size.

    title         what is watched
    head          health, queue, rates, outcomes
    body          workers, slowest tasks, errors; or one text, such as a stack, its lines folded
    foot          keys, a question, or a notice

The head and the foot are always there. Of the body, the workers get the room that they need, as long as the other two
can show their first rows; what is left goes to these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from rich.text import Text

from steadypool.cli.top.columns import INDENT, Column, table
from steadypool.cli.top.view import Page, View
from steadypool.model.clock import monotonic
from steadypool.model.health import Health
from steadypool.model.printable import printable
from steadypool.model.quantities import clock_length, clock_time, counted, progress_text
from steadypool.model.reports import PoolStats, WorkerStats
from steadypool.model.snapshots import ErrorLine, PoolSnapshot
from steadypool.model.states import Outcome, PoolState

BAR = 20
CURVE = "▁▂▃▄▅▆▇█"
FEW_TASKS, FEW_ERRORS = 3, 2
"""Rows that these have before the workers get all theirs."""
WIDE = 100
"""A screen with so many columns also shows which task failed, and how the rate went."""
SHORT = 14
"""A screen with fewer lines shows the workers alone."""
KEYS = (
    ("↑↓", "choose"),
    ("s", "stack"),
    ("c", "cancel"),
    ("e", "errors"),
    ("d", "drain"),
    ("Tab", "next pool"),
    ("q", "quit"),
)
PAGE_KEYS = (("↑↓", "scroll"), ("r", "again"), ("Esc", "back"), ("c", "cancel"), ("d", "drain"), ("q", "quit"))
_OUTCOME_STYLES = {Outcome.SUCCEEDED: "green", Outcome.RETURNED: "yellow", Outcome.CANCELLED: "yellow"}


def draw(view: View, width: int, height: int) -> Text:
    """The frame, exactly *height* lines."""
    pool = view.pool
    lines = [_title(view, width)]
    if pool is None:
        lines.append(Text("  no pool yet"))
    else:
        lines += [*_head(view, pool, width), Text("")]
        room = height - len(lines) - 1
        lines += _page(view.page, width, room) if view.page is not None else _body(view, pool, width, room)
    lines = lines[: height - 1]
    lines += [Text("")] * (height - 1 - len(lines))
    for line in [*lines, foot := _foot(view)]:
        line.truncate(width, overflow="ellipsis")
    return Text("\n", end="").join([*lines, foot])


def plain(view: View, width: int) -> Text:
    """The whole frame, as many lines as it takes, for a printer."""
    pool = view.pool
    if pool is None:
        return Text("no pool")
    lines = [_title(view, width, style="bold"), *_head(view, pool, width), Text("")]
    lines += _body(view, pool, width, 10_000)
    if (ending := view.ending) is not None:
        lines += [Text(""), *(Text(printable(line)) for line in ending.report.splitlines())]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


# -- title and head


def _title(view: View, width: int, style: str = "bold reverse") -> Text:
    snapshot, pool = view.snapshot, view.pool
    left = " steadypool top"
    if pool is not None:
        left += f"  {pool.stats.name}: {pool.kind}, {pool.stats.state}, {clock_length(pool.open_for)}"
    right = f"pid {snapshot.pid} " if snapshot is not None else ""
    if len(view.pools) > 1 and view.number in view.pools:
        right = f"pool {sorted(view.pools).index(view.number) + 1} of {len(view.pools)}  {right}"
    left = printable(left)
    left = left if len(left) + len(right) < width else left[: max(0, width - len(right) - 2)] + "…"
    return Text(left + " " * (width - len(left) - len(right)) + right, style)


def _head(view: View, pool: PoolSnapshot, width: int) -> list[Text]:
    program = view.snapshot.program if view.snapshot is not None else ""
    return [
        Text(f"  {printable(program)}", "dim"),
        _health_line(view, pool.health, pool.stats),
        _queue_line(pool),
        _rates_line(view, pool, width),
        _outcomes_line(pool.stats),
    ]


def _health_line(view: View, health: Health, stats: PoolStats) -> Text:
    if view.has_ended and view.ending is None:
        return _labelled("health", Text("the program has ended", "bold red"))
    if seconds := view.silent_for:
        return _labelled("health", Text(f"no answer for {seconds:.0f} s: stopped, or very busy", "bold red"))
    style = "green" if health.ready else "yellow" if health.alive else "bold red"
    word = "ready" if health.ready else ", ".join(health.reasons)
    word = word if health.alive else f"not alive: {word}"
    line = _labelled("health", Text(word, style))
    line.append(f"   {stats.running} of {stats.max_workers} busy")
    if stats.capacity < stats.max_workers and health.state is not PoolState.CLOSED:
        line.append(f"   room for {stats.capacity}", "bold red")
    for count, noun in ((stats.restarts, "restart"), (stats.sink_errors, "sink error")):
        if count:
            line.append(f"   {counted(count, noun)}", "yellow")
    if stats.stuck:
        line.append(f"   {stats.stuck:,} stuck", "bold red")
    if stats.drain_estimate is not None and health.ready:
        line.append(f"   a drain takes about {_seconds(stats.drain_estimate)}", "dim")
    return line


def _queue_line(pool: PoolSnapshot) -> Text:
    stats = pool.stats
    size = stats.queue_size
    share = min(1.0, stats.waiting / size) if size is not None else 0.0
    filled = round(share * BAR)
    line = _labelled("queue", Text("█" * filled, "yellow" if share > 0.9 else "green"))
    line.append("░" * (BAR - filled), "dim").append(
        f" {stats.waiting:,} of {size:,}" if size is not None else f" {stats.waiting:,}, without a bound"
    )
    if stats.oldest_waiting:
        line.append(f", the oldest for {_seconds(stats.oldest_waiting)}")
    held_back = sorted(stats.held_back.items(), key=lambda limit: -limit[1])
    held = [(count, f"held back by {printable(limit)}") for limit, count in held_back]
    for count, what in (*held, (stats.retrying, "retrying"), (stats.rejected, "rejected")):
        if count:
            line.append(f"   {count:,} {what}", "yellow")
    return line


def _rates_line(view: View, pool: PoolSnapshot, width: int) -> Text:
    rates = view.rates.get(pool.number)
    if rates is None:
        return _labelled("rates", Text(f"{'…' if not view.has_ended and view.ending is None else '-'}", "dim"))
    line = _labelled("rates", Text(f"{rates.accepted:,.1f}/s in   {rates.ended:,.1f}/s out"))
    for rate, noun in ((rates.failed, "failed"), (rates.retries, "retries")):
        if rate:
            line.append(f"   {rate:,.1f}/s {noun}", "red")
    history = view.history.get(pool.number, ())
    if width >= WIDE and len(history) > 1:
        line.append("   ").append(_curve(history), "green").append(" out", "dim")
    return line


def _curve(values: Iterable[float]) -> str:
    """The values as columns; the highest of them fills a line's height."""
    values = list(values)
    top = max(values) or 1.0
    return "".join(CURVE[min(int(value / top * len(CURVE)), len(CURVE) - 1)] for value in values)


def _outcomes_line(stats: PoolStats) -> Text:
    line = _labelled("jobs", Text(f"{stats.accepted:,} accepted"))
    for outcome in Outcome:
        if count := getattr(stats, outcome.value):
            line.append("   ")
            line.append(f"{count:,} {outcome.value.replace('_', ' ')}", _OUTCOME_STYLES.get(outcome, "red"))
    return line


def _labelled(label: str, text: Text) -> Text:
    return Text(f"  {label:<8}", "dim").append_text(text)


# -- body


def _body(view: View, pool: PoolSnapshot, width: int, room: int) -> list[Text]:
    rows = view.rows
    tasks, errors = len(pool.tasks), len(pool.errors)
    if room < SHORT - 7:
        tasks = errors = 0
    workers, tasks, errors = _share_out(room, len(rows), tasks, errors)
    lines = _workers(view, rows, width, workers)
    if tasks:
        lines += [Text(""), *_tasks(pool, width, tasks)]
    if errors:
        lines += [Text(""), *_errors(pool, width, errors)]
    return lines


def _share_out(room: int, workers: int, tasks: int, errors: int) -> tuple[int, int, int]:
    """How many rows of each there are to be. A section costs a heading, and a blank line between two."""
    few_tasks, few_errors = min(tasks, FEW_TASKS), min(errors, FEW_ERRORS)
    left = room - 1 - sum(2 + few for few in (few_tasks, few_errors) if few)
    shown = max(1, min(workers, left))
    left -= shown
    more_tasks = max(0, min(tasks - few_tasks, left))
    more_errors = max(0, min(errors - few_errors, left - more_tasks))
    return shown, few_tasks + more_tasks, few_errors + more_errors


def _workers(view: View, rows: list[tuple[WorkerStats, bool]], width: int, count: int) -> list[Text]:
    if not rows:
        return [Text("  no worker runs: they start when there is work", "dim")]
    more: list[Text] = []
    if len(rows) > count > 1:
        count -= 1
        more = [Text(f"  … {len(rows) - count} more", "dim")]
    names = [row.name for row, _ in rows]
    at = names.index(view.worker) if view.worker in names else 0
    top = max(0, min(at - count // 2, len(rows) - count))
    pids = any(row.pid for row, _ in rows)
    columns = [
        Column("worker", share=2, most=24),
        *([Column("pid", width=7, right=True)] if pids else []),
        Column("job", share=2, most=36),
        Column("task", share=4, most=60),
        Column("for", width=9, right=True),
        Column("done", width=8, right=True),
    ]
    cells = [_worker_cells(row, stuck, pids) for row, stuck in rows[top : top + count]]
    styles = [_worker_style(view, row, stuck) for row, stuck in rows[top : top + count]]
    return [*table(columns, cells, styles, width), *more]


def _worker_cells(row: WorkerStats, stuck: bool, pids: bool) -> list[str]:
    pid = [str(row.pid or "")] if pids else []
    # The word first: the end of a long name is cut off.
    how_far = f"{progress_text(row.progress)}  " if row.progress else ""
    task = how_far + ("stuck in " if stuck else "") + (row.task or "?") if row.job_id else "idle"
    runs_for = _seconds(row.running_for) if row.job_id else ""
    return [row.name, *pid, row.job_id or "", task, runs_for, f"{row.jobs_done:,}"]


def _worker_style(view: View, row: WorkerStats, stuck: bool) -> str:
    chosen = " reverse" if row.name == view.worker else ""
    return ("bold red" if stuck else "" if row.job_id else "dim") + chosen


def _tasks(pool: PoolSnapshot, width: int, count: int) -> list[Text]:
    columns = [
        Column("slowest tasks", share=1, most=60),
        Column("ended", width=9, right=True),
        Column("failed", width=9, right=True),
        Column("mean", width=9, right=True),
        Column("longest", width=9, right=True),
    ]
    cells = [
        [row.task, f"{row.ended:,}", f"{row.failed:,}", _seconds(row.mean), _seconds(row.longest)]
        for row in pool.tasks[:count]
    ]
    return table(columns, cells, ["" for _ in cells], width)


def _errors(pool: PoolSnapshot, width: int, count: int) -> list[Text]:
    hidden = len(pool.errors) - count
    tasks = width >= WIDE
    columns = [
        Column("errors", width=7, right=True),
        *([Column("task", share=2, most=40)] if tasks else []),
        Column(f"what{f' ({hidden} more)' if hidden > 0 else ''}", share=3, most=70),
        Column("where", share=2, most=50),
        Column("last", width=8, right=True),
    ]
    cells = [_error_cells(row, tasks) for row in pool.errors[:count]]
    return table(columns, cells, ["red" for _ in cells], width)


def _error_cells(row: ErrorLine, tasks: bool) -> list[str]:
    what = f"{row.type_name.removeprefix('steadypool.')}: {row.message}"
    last = clock_time(row.last_seen)
    return [f"{row.count:,}", *([row.task] if tasks else []), what, row.where, last]


def _page(page: Page, width: int, room: int) -> list[Text]:
    lines = page.text.rstrip().splitlines() or [""]
    top = min(page.top, max(0, len(lines) - 1))
    shown: list[Text] = []
    below = len(lines) - top
    for line in lines[top:]:
        folded = [Text(f"  {part}") for part in _folded(printable(line), width - 2 * INDENT)]
        if shown and len(shown) + len(folded) > room - 2:
            break
        shown += folded
        below -= 1
    more = [Text(f"  … {counted(below, 'more line')}", "dim")] if below > 0 else []
    return [Text(f"  {printable(page.title)}", "bold"), *shown[: max(0, room - 2)], *more]


def _folded(line: str, width: int) -> list[str]:
    """The line in pieces of that width; the further ones as far indented as the first, and a little more."""
    width = max(1, width)
    indent = " " * min(len(line) - len(line.lstrip()) + 2, width // 2)
    return wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


# -- foot


def _foot(view: View) -> Text:
    pool = view.pool
    if view.asks is not None and view.asks.do == "cancel":
        return Text(f" cancel job {printable(view.asks.job)}?  y/n ", "bold black on yellow")
    if view.asks is not None and pool is not None:
        left = pool.stats.waiting + pool.stats.running + pool.stats.retrying
        name, left_over = printable(repr(pool.stats.name)), counted(left, "job")
        question = f" drain pool {name} within {view.drain_seconds:g} s ({left_over} left)?  y/n "
        return Text(question, "bold black on yellow")
    if view.notice and monotonic() < view.notice_until:
        return Text(f" {printable(view.notice)}", "bold yellow")
    line = Text(" ")
    for key, does in _keys(view):
        line.append(key, "bold").append(f" {does}   ", "dim")
    return line


def _keys(view: View) -> Sequence[tuple[str, str]]:
    keys = KEYS if view.page is None else PAGE_KEYS
    over = view.has_ended or view.ending is not None
    useless = {"Tab"} if len(view.pools) < 2 else set()
    useless |= {"d", "s", "c", "r", "e"} if over else set()
    if view.page is not None and not (view.page.again is not None and view.page.again.job):
        useless.add("c")
    useless |= set() if view.pool is not None and view.pool.errors else {"e"}
    return [(key, does) for key, does in keys if key not in useless]


# -- numbers


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else clock_length(seconds)
