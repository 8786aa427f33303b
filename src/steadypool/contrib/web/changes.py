"""What the forms of the pages do: each action is done once, told once (`audit`), and answered by a page.

Of many jobs, each batch is a transaction of its own. After some seconds the answer comes though there may be more; its
form goes on where this one has ended. A second click finds nothing left to change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from steadypool.contrib.web.access import ACTIONS, Access
from steadypool.contrib.web.answer import Refusal
from steadypool.contrib.web.audit import Audit, WebAction, tell
from steadypool.contrib.web.filters import Chosen, number_in
from steadypool.contrib.web.look import Page
from steadypool.contrib.web.render import query
from steadypool.contrib.web.request import Fields, Request
from steadypool.contrib.web.shown import line
from steadypool.contrib.web.store import Reader
from steadypool.durable.client.bulk import change_until, with_states
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.errors import UnknownBatch, UnknownJob, UnknownLimit, UnknownSchedule, WrongState
from steadypool.durable.engine.records import ChangeKind, JobFilter
from steadypool.durable.engine.states import ENDED
from steadypool.durable.engine.texts import LONGEST_MESSAGE, storable
from steadypool.model.clock import monotonic

AT_WORK = 3.0
"""Seconds after which a change of many jobs is answered."""
MOST_IDS = 200
JOBS: dict[str, ChangeKind] = {"retry": "retry", "cancel": "cancel", "discard": "discard"}
NOT_DONE = (UnknownBatch, UnknownJob, UnknownLimit, UnknownSchedule, WrongState)


@dataclass(frozen=True, slots=True)
class Asked:
    """One action that was asked for."""

    action: str
    form: Fields
    user: str
    arguments: bool
    """Whether jobs may be found by their arguments."""


class Changes:
    """The changes of one queue."""

    def __init__(self, queue: Queue, reader: Reader, audit: Audit | None) -> None:
        self._queue = queue
        self._reader = reader
        self._audit = audit

    def has(self, action: str) -> bool:
        """Whether there is such an action."""
        return action in ACTIONS

    def do(self, action: str, request: Request, access: Access, arguments: bool) -> Page | str:
        """Do it, and say which page shows that: one to be rendered, or a place.

        Raises:
            Refusal: it cannot be done.
        """
        asked = Asked(action, request.form(), access.user, arguments)
        what = asked.form.get("what") or "job"
        try:
            if what == "job" and action in JOBS:
                return self._many(asked) if asked.form.get("all") else self._chosen(asked)
            if what == "batch" and action == "cancel":
                return self._batch(asked)
            if what == "queue" and action in ("pause", "resume"):
                return self._queue_named(asked)
            if what == "limit" and action in ("set", "reset"):
                return self._limit_named(asked)
            if what == "schedule" and action in ("pause", "resume", "run"):
                return self._schedule_named(asked)
        finally:
            self._reader.cache.clear()
        raise Refusal("400 Bad Request", f"there is no way to {action} a {line(what, 40)}")

    # -- jobs

    def _chosen(self, asked: Asked) -> Page | str:
        ids = ids_in(asked.form)
        problems: list[str] = []

        def work() -> int:
            for job_id in ids:
                try:
                    self._change(asked, job_id)
                except (*NOT_DONE, ValueError) as error:
                    problems.append(line(error))
            return len(ids) - len(problems)

        changed = self._told(asked, "job", ids, None, work)
        if len(ids) == 1 and changed and asked.form.get("back") == "job":
            return f"/job{query([('id', ids[0]), ('said', asked.action)])}"
        return _done(asked, changed, problems, len(problems), None)

    def _change(self, asked: Asked, job_id: str) -> None:
        if asked.action == "retry":
            self._queue.retry(job_id)
        elif asked.action == "discard":
            self._queue.discard(job_id, f"discarded by {asked.user}")
        else:
            state = self._queue.request_cancel(job_id)
            if state in ENDED:
                raise WrongState(f"job {job_id!r} has ended already", state=state.value)

    def _many(self, asked: Asked) -> Page:
        kind = JOBS[asked.action]
        chosen = Chosen.of(asked.form, asked.arguments)
        which = changeable(kind, chosen.filter(below=number_in(asked.form.get("below"))))
        reason = storable(f"discarded by {asked.user}", LONGEST_MESSAGE) if kind == "discard" else ""
        until = monotonic() + AT_WORK
        conflicts: list[str] = []
        left: list[int | None] = [None]

        def work() -> int:
            result, left[0] = change_until(self._queue.engine, kind, which, reason, lambda: monotonic() >= until)
            conflicts.extend(result.conflicts)
            return result.changed

        changed = self._told(asked, "job", (), which, work)
        problems = [
            f"{line(job_id)} stays as it is: another job has its unique key, or it was changed meanwhile"
            for job_id in conflicts[:MOST_IDS]
        ]
        go_on = None if left[0] is None else [*chosen.pairs(), ("below", left[0])]
        return _done(asked, changed, problems, len(conflicts), go_on)

    # -- queues and schedules

    def _queue_named(self, asked: Asked) -> str:
        name = asked.form.get("name")
        change = self._queue.pause if asked.action == "pause" else self._queue.resume
        self._told(asked, "queue", (name,), None, lambda: _one(lambda: change(name)))
        return f"/queues{query([('said', asked.action)])}"

    def _schedule_named(self, asked: Asked) -> str:
        name = asked.form.get("name")
        put: list[str] = []

        def work() -> int:
            handle = self._reader.queue.schedules.get(name)
            handle = replace(handle, queue=self._queue)
            if asked.action == "run":
                put.append(handle.run().job_id)
            elif asked.action == "pause":
                handle.pause()
            else:
                handle.resume()
            return 1

        self._told(asked, "schedule", (name,), None, work)
        if put:
            return f"/job{query([('id', put[0]), ('said', 'run')])}"
        return f"/schedules{query([('said', asked.action)])}"

    def _batch(self, asked: Asked) -> str:
        batch_id = asked.form.get("id")
        self._told(asked, "batch", (batch_id,), None, lambda: int(self._queue.get_batch(batch_id).cancel()))
        return f"/batch{query([('id', batch_id), ('said', 'cancelled')])}"

    def _limit_named(self, asked: Asked) -> str:
        name, key = asked.form.get("name"), asked.form.get("key").strip() or None
        limits = self._queue.limits

        def work() -> int:
            if asked.action == "reset":
                return int(limits.reset(name, key=key))
            counts = {field: _count(asked.form.get(field)) for field in ("running", "starts", "burst")}
            per = asked.form.get("per").strip()
            limits.set(name, key=key, per=float(per) if per else None, **counts)
            return 1

        self._told(asked, "limit", (name,) if key is None else (name, key), None, work)
        return f"/limits{query([('said', asked.action)])}"

    # -- told

    def _told(
        self, asked: Asked, what: str, ids: Sequence[str], which: JobFilter | None, work: Callable[[], int]
    ) -> int:
        """Do it, and tell of it, be it done or not.

        Raises:
            Refusal: it cannot be done.
        """
        changed, error = 0, ""
        try:
            changed = work()
        except NOT_DONE as refused:
            error = line(refused)
            raise Refusal("409 Conflict", error) from refused
        except (ValueError, TypeError) as wrong:
            error = line(wrong)
            raise Refusal("400 Bad Request", error) from wrong
        except BaseException as broken:
            error = line(broken)
            raise
        finally:
            cut = tuple(line(one) for one in ids)
            tell(WebAction(asked.user, asked.action, what, cut, which, time.time(), changed, error), self._audit)
        return changed


def _count(text: str) -> int | None:
    return int(text) if text.strip() else None


def _one(change: Callable[[], object]) -> int:
    change()
    return 1


def ids_in(fields: Fields) -> tuple[str, ...]:
    """Those of the jobs that were chosen.

    Raises:
        Refusal: there is none, or there are too many.
    """
    ids = fields.all("id")
    if not 0 < len(ids) <= MOST_IDS:
        raise Refusal("400 Bad Request", f"choose jobs, {MOST_IDS} at most")
    return ids


def changeable(kind: ChangeKind, which: JobFilter) -> JobFilter:
    """Those of the jobs that can be changed so.

    Raises:
        Refusal: the filter asks for others alone.
    """
    try:
        return with_states(kind, which)
    except ValueError as error:
        raise Refusal("400 Bad Request", line(error)) from None


def _done(
    asked: Asked,
    changed: int,
    problems: Sequence[str],
    problem_count: int,
    go_on: list[tuple[str, object]] | None,
) -> Page:
    """What has become of many jobs."""
    before = number_in(asked.form.get("changed")) or 0
    values = {
        "action": asked.action,
        "changed": before + changed,
        "problems": problems,
        "problem_count": problem_count,
        "go_on": [] if go_on is None else [pair for pair in go_on if pair[1] not in ("", None)],
        "is_over": go_on is None,
    }
    return Page("done", f"{asked.action.capitalize()} jobs", values, moves=False)
