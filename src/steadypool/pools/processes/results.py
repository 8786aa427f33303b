"""What comes back from worker processes: frames are read, run times measured, jobs taken out of hands and settled."""

from __future__ import annotations

import marshal
import os
import pickle
from functools import partial
from threading import get_ident

from steadypool.model.clock import monotonic, sleep
from steadypool.model.lazy_module import events
from steadypool.model.states import Outcome
from steadypool.pools.core.emitter import job_facts
from steadypool.pools.core.shared import Job
from steadypool.pools.processes.chunk import Chunk
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.ipc.buffers import Description, Received
from steadypool.pools.processes.ipc.exceptions import unpack_error
from steadypool.pools.processes.ipc.harmless import load_harmless
from steadypool.pools.processes.ipc.pickles import is_plain, load
from steadypool.pools.processes.ipc.wire import (
    BROKEN,
    ERROR,
    NOT_BEGUN,
    NOT_FOUND,
    NOTE,
    NOTHING,
    PROGRESS,
    READY,
    RESULT,
    RETIRING,
    UNFIT,
    VALUE,
    VALUE_IN_BUFFER,
    VALUES,
)
from steadypool.pools.processes.job_starts import JobStarts
from steadypool.pools.processes.loader import MOST, SLOWLY, Load
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.preparation import Preparation
from steadypool.pools.processes.steal import Stealer
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_set import WorkerSet
from steadypool.primitives.job_context import JobContext
from steadypool.primitives.run_times import SAMPLE, WORTH_MEASURING

_OWN_WORDS = frozenset({READY, RETIRING, BROKEN, UNFIT})
"""Statuses of what a worker says of itself."""
Run = tuple[int, list[object], float]
"""Calls from this serial on have returned these values, and ran for so many seconds together."""


class ResultReader:
    """Reads the frames that workers send, and settles the jobs they are for."""

    def __init__(
        self,
        fleet: Fleet,
        places: Places,
        starts: JobStarts,
        preparation: Preparation,
        stealer: Stealer,
        workers: WorkerSet,
    ) -> None:
        self._fleet = fleet
        self._core = fleet.core
        self._places = places
        self._starts = starts
        self._preparation = preparation
        self._stealer = stealer
        self._set = workers

    def results_came(self, worker: ProcessWorker) -> None:
        frames, ended = worker.frames.read()
        runs: list[Run] = []
        for frame in frames:
            run = _as_run(*frame)
            if run is not None:
                runs.append(run)
                continue
            self._successes_came(worker, runs)
            self.frame_came(worker, *frame)
        self._successes_came(worker, runs)
        if ended:
            self._set.listener.unwatch(worker.results)
        if frames:
            if worker.has_buffers():
                self._fleet.trim.used()  # this job may have given back what it was lent
            if self._core.forecast.limit is not None:
                self._core.forecast.look()
            self._fleet.pace.judge()
            self._set.has_room(worker)

    def _successes_came(self, worker: ProcessWorker, runs: list[Run]) -> None:
        """Settle successes, many at a time; empties *runs*."""
        if self._core.emitter.sinks:
            runs[:], one_by_one = [], _one_by_one(runs)
            for run in one_by_one:
                self._settle_runs(worker, [run])  # what starts after it is announced after it
        elif runs:
            self._settle_runs(worker, runs)
            runs.clear()

    def _settle_runs(self, worker: ProcessWorker, runs: list[Run]) -> None:
        done: list[tuple[Job, object]] = []
        with self._core.lock:
            hand = worker.hand
            if self._core.emitter.sinks:
                self._places.first_unfolded(worker)
            running = worker.taken or (hand[0] if hand else None)
            for run in runs:
                self._take_run(worker, *run, done)
            self._core.counts.ended[Outcome.SUCCEEDED] += len(done)
            first = hand[0] if hand and worker.taken is None else None
        if first is not None and first is not running:
            self._starts.see_to_first(worker)
        self._publish(done)

    def _take_run(
        self, worker: ProcessWorker, serial: int, values: list[object], seconds: float, done: list[tuple[Job, object]]
    ) -> None:
        """Calls from this serial on have these results. What is no job any more is left out. The lock is held."""
        hand, sinks = worker.hand, self._core.emitter.sinks
        each = seconds / len(values)
        for at, value in enumerate(values):
            entry = hand[0] if hand else None
            if worker.taken is not None and worker.taken._serial == serial + at:
                self._fleet.came_back(worker)
                worker.done += 1
            elif isinstance(entry, Chunk):
                start = entry._serial + entry.done - serial
                if at <= start < len(values):
                    self._take_values(worker, entry, values[start:], seconds)
                    return
            elif entry is not None and entry._serial == serial + at:
                hand.popleft()
                worker.done += 1
                done.append((entry, value))
                if sinks and each:
                    entry._began = monotonic() - each  # the worker's own word: it may have come back a while ago
                self._fleet.pace.note(each)
                self._fleet.pace.run_seconds.note(entry._fn, each)
                if each > WORTH_MEASURING or not worker.done % SAMPLE:
                    self._core.run_times.add_to_task(entry._task_name, each)

    def _publish(self, done: list[tuple[Job, object]]) -> None:
        """The jobs were counted as succeeded: say so, and settle them."""
        sinks = self._core.emitter.sinks
        for job, result in done:
            if sinks:
                self._core.emitter.emit_end(job, Outcome.SUCCEEDED, None)
            if job._alarm is not None:
                self._core.settlement.drop_alarm(job)
            packed = job._packed
            made_of = None if packed is not None and packed.is_plain() else self._core.user_calls.made_of(job)
            job._settle(Outcome.SUCCEEDED, result, None)
            if made_of is not None:
                self._core.user_calls.free(job, made_of)
            if job._callbacks:
                self._core.user_calls.call_back(job)

    def _values_came(self, worker: ProcessWorker, serial: int, seconds: float, values: list[object]) -> None:
        """Calls that travelled together have succeeded; *serial* is the first one's."""
        run = _loaded_run(serial, values, seconds)
        if run is not None:
            self._successes_came(worker, [run])
            return
        each = seconds / len(values)
        for number, value in enumerate(values, serial):
            if type(value) is list:
                self._result_came(worker, number, VALUE, value[0], each)
            else:
                self._successes_came(worker, [(number, [value], each)])

    def take_gathered(self, worker: ProcessWorker) -> None:
        """Take the outcomes that stand in the worker's log and have not come otherwise."""
        with self._core.lock:
            expected = worker.next_serial()
            values = [] if expected is None or worker.dead else worker.page.outcomes(expected)
        if expected is not None and values:
            self._values_came(worker, expected, 0.0, values)

    def _take_values(self, worker: ProcessWorker, chunk: Chunk, values: list[object], seconds: float) -> None:
        """The next items of the chunk that the worker runs have these results. The lock is held."""
        self._core.counts.ended[Outcome.SUCCEEDED] += len(values)
        worker.done += len(values)
        chunk.came_back(values, seconds)
        if chunk.done == chunk._size:
            worker.hand.popleft()
            if not chunk.seconds:
                return  # all of it was read in the log
            self._fleet.pace.note(chunk.seconds, chunk._size)
            self._fleet.pace.run_seconds.note(chunk._fn, chunk.seconds / chunk._size)
            self._core.run_times.add_to_task(chunk._task_name, chunk.seconds, chunk._size)

    def frame_came(self, worker: ProcessWorker, serial: int, status: int, seconds: float, payload: bytes) -> None:
        if status in _OWN_WORDS:
            self._set.word_came(worker, status, payload)
        elif status == PROGRESS:
            self.take_gathered(worker)  # of the calls before, so that its job is the first in the hand
            came = partial(self._progress_came, worker, serial, payload)
            if is_plain(payload):
                came()
            else:
                self._core.user_calls.send(self._preparation.loader, came, "loading a job's progress")
        elif status == NOTE:
            self.take_gathered(worker)
            if (job := self._running(worker, serial)) is not None:
                context = JobContext()
                context._note = payload
                job._job_context = context  # one of the attributes that threads may set
        elif status == NOT_FOUND:
            self._was_not_found(worker, serial, payload)
        elif status == VALUES:
            self._values_came(worker, serial, seconds, marshal.loads(payload))
        elif status == NOT_BEGUN:
            self._stealer.was_not_begun(worker, serial)
        else:
            self._result_came(worker, serial, status, payload, seconds)

    def _result_came(self, worker: ProcessWorker, serial: int, status: int, payload: bytes, seconds: float) -> None:
        run = _as_run(serial, status, seconds, payload)
        received = self._receive(worker, serial, payload) if status == VALUE_IN_BUFFER else None
        if isinstance(received, Received) and received.is_small:
            stream, *buffers = received.parts()
            if (loaded := load_harmless(stream, buffers)) is not None:
                run = serial, [*loaded], seconds
        if run is not None:
            self._successes_came(worker, [run])
            return
        load = Load(self._core, worker.name)
        job = self._take_to_load(worker, serial, seconds, load)
        if job is None:
            return
        if job._attempt_ends is not None:
            self._core.wake_before(job._attempt_ends)
        errand = partial(self._load_result, load, job, status, payload, received)
        self._core.user_calls.send(self._preparation.loader, errand, f"loading the result of job {job.job_id}")
        if self._preparation.loader.backlog() > MOST:
            sleep(SLOWLY)

    def _load_result(
        self, load: Load, job: Job, status: int, payload: bytes, received: Received | Exception | None
    ) -> None:
        """On the loader's thread: see `pools.processes.loader`."""
        load.ident = get_ident()
        result, error = _loaded(status, payload, received)
        with self._core.lock:
            mine = load.put_down(job)
            if mine and error is None:
                self._core.counts.ended[Outcome.SUCCEEDED] += 1
        with self._core.user_calls.hurrying():  # what else hangs must not keep this job from its outcome either
            if mine and error is None:
                self._publish([(job, result)])
            elif mine and error is not None:
                self._core.settlement.attempt_raised(job, error)
        self._preparation.load_is_over(load)

    def _was_not_found(self, worker: ProcessWorker, serial: int, error: bytes) -> None:
        """A worker looked in vain for something of the main module: send the job again, by value."""
        load = Load(self._core, worker.name)
        job = self._take_to_load(worker, serial, 0.0, load)
        packed = None if job is None else job._packed
        if job is None:
            return
        if packed is None:  # it was settled just now
            self._preparation.load_is_over(load)
            return
        if not packed.main_by_name:  # it is something else that is not there
            errand = partial(self._load_result, load, job, ERROR, error, None)
            self._core.user_calls.send(self._preparation.loader, errand, f"loading the error of job {job.job_id}")
            return
        self._preparation.functions.carry_main_by_value()
        job.attempts -= 1
        self._preparation.prepare_elsewhere(load, job)

    def _receive(self, worker: ProcessWorker, serial: int, payload: bytes) -> Received | Exception:
        """What a big result is in; or why it is not there."""
        self._fleet.trim.used()
        lent = Description.read(payload)
        try:
            return worker.incoming.open(lent, self._descriptor_for(worker, serial) if lent.is_new else None)
        except (OSError, ValueError) as error:
            return error

    def _descriptor_for(self, worker: ProcessWorker, serial: int) -> int | None:
        """The descriptor that a worker has sent ahead of this result; ``None``: it is lost."""
        while (received := worker.line.receive(wait=False)) is not None:
            packet, fds = received
            if not fds:
                break
            if RESULT.unpack(packet)[0] == serial:
                return fds[0]
            os.close(fds[0])  # impossible: each is asked for when its result comes
        return None

    def _take_to_load(self, worker: ProcessWorker, serial: int, seconds: float, load: Load) -> Job | None:
        """Take the job that a result is for into the hand of *load*. ``None``: it was settled meanwhile."""
        with self._core.lock:
            worker.done += 1
            job = self._places.first_unfolded(worker)
            taken = worker.taken
            if taken is not None and taken._serial == serial:
                self._fleet.came_back(worker)
                job = None
            elif job is not None and job._serial == serial:
                worker.hand.popleft()
                load.hold(job)
                self._fleet.callers.add(load)
            else:
                return None
        self._starts.see_to_first(worker)
        if job is not None and seconds:
            self._fleet.pace.note(seconds)
            self._fleet.pace.run_seconds.note(job._fn, seconds)
            job._began = monotonic() - seconds
            self._core.run_times.add_to_task(job._task_name, seconds)
        return job

    def _running(self, worker: ProcessWorker, serial: int) -> Job | None:
        """The job that a word of a running one is from; ``None``: it was settled meanwhile."""
        with self._core.lock:
            job = self._places.first_unfolded(worker)
        return job if job is not None and job._serial == serial else None

    def _progress_came(self, worker: ProcessWorker, serial: int, payload: bytes) -> None:
        if (job := self._running(worker, serial)) is not None:
            done, total = job._progress = pickle.loads(payload)
            if self._core.emitter.sinks:
                self._core.emitter.emit(
                    events.JobProgressed(self._core.name, monotonic(), *job_facts(job), done, total)
                )


def _loaded(status: int, payload: bytes, received: Received | Exception | None) -> tuple[object, BaseException | None]:
    """The result, or the error."""
    if status == ERROR:
        return None, unpack_error(payload)
    try:
        if isinstance(received, Exception):
            raise received
        if received is None:
            return load(payload), None
        stream, *buffers = received.parts()
        return load(stream, buffers), None
    except BaseException as failure:  # a result that exits must not end this thread
        BaseException.add_note(failure, "(the job returned, but its result cannot be loaded in the parent process)")
        return None, failure


def _as_run(serial: int, status: int, seconds: float, payload: bytes) -> Run | None:
    """What a frame says, if it is of nothing but successes that can be loaded here."""
    if status == NOTHING:
        return serial, [None], seconds
    if status == VALUES:
        return _loaded_run(serial, marshal.loads(payload), seconds)
    if status == VALUE and (loaded := _try_load(payload)) is not None:
        return serial, [*loaded], seconds
    return None


def _loaded_run(serial: int, values: list[object], seconds: float) -> Run | None:
    """The run, once what is pickled in it (each in a list) is loaded; ``None`` if that is for the loader."""
    if list not in map(type, values):
        return serial, values, seconds
    loaded = [_try_load(value[0]) if type(value) is list else (value,) for value in values]
    whole = [one[0] for one in loaded if one is not None]
    return (serial, whole, seconds) if len(whole) == len(values) else None


def _one_by_one(runs: list[Run]) -> list[Run]:
    """The same, each with one value."""
    return [
        (serial + at, [value], seconds / len(values))
        for serial, values, seconds in runs
        for at, value in enumerate(values)
    ]


def _try_load(payload: bytes) -> tuple[object] | None:
    """What a plain result is, in a tuple; ``None`` if it is for the loader."""
    if not is_plain(payload):
        return load_harmless(payload)
    try:
        return (pickle.loads(payload),)
    except BaseException:
        return None
