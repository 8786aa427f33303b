"""How a `ProcessPool` works: the parts that it is made of, and what its core asks of them (`pools.core.workers`).

Theory of operation
-------------------
    submitter ──▶ queue ──▶ pump ══ packets ══▶ worker process (child.py)
                             ▲                      │
    waiters ◀── settle ◀── supervisor ◀══ frames ═══┘        pidfd: "it is dead"   page: "it runs k since t"

* **The submitter** pickles the job and *pumps*: it hands waiting jobs to workers with room. One thread pumps at a
  time; another leaves it to that one, which looks again before it stops.
* **The supervisor** is the loop of `pools.core.supervisor`. Here it sleeps in a selector: on every worker's results and
  death, on its bell, until the next deadline. It pumps after results.
* **A starter thread** lives while workers are being started, which can take tens of milliseconds.

A worker's ``hand`` is what was sent to it and has not come back, in order: the first runs, the others lie in its
socket, or have been read and wait behind it. How many that may be follows from how long jobs take (`rules.prefetch`).
What has not begun can be taken back (`steal.py`): to cancel it, to give it to a worker that is idle while this one
is busy, and when the worker has died.

The parts, each in a file of its own::

    fleet             Fleet            what all parts look at: the workers, and which jobs they may be given
    places            Places           moves jobs and chunks between queue and hands
    preparation       Preparation      pickles jobs
    chunk_intake      ChunkIntake      takes items of a map on together
    pump              Pump             hands waiting jobs to workers with room
    job_starts        JobStarts        a job is the first in its hand: its state, its time limit, its event
    handover_watch    HandoverWatch    looks for what lies unread, or has gathered in a worker
    listener          Listener         sleeps until there is a result, a death or the bell
    results           ResultReader     reads results, measures run times, settles
    steal             Stealer          takes back what a worker has not begun
    worker_set        WorkerSet        starts, retires and kills workers
    deaths            Deaths           settles what died with a worker, and replaces it
    sent_jobs         SentToProcesses  what the core asks of jobs that were sent; kills for the sake of a retry
    shutdown          Departure        the workers of a closed pool leave
    orphan_reaper     OrphanReaper     programs that a dead worker has left

What a part needs is in its constructor; what it needs of a part that is made later is a callback there.

A time limit goes through `job_starts` (the earliest moment), `attempt_ends` here (the moment), `pools.core.termination`
(stop, settle, grace), `WorkerSet.kill` and `deaths`.

Who is to blame when a worker dies: the page names the job it began last. If that one's result has not come, it is
``CRASHED``, alone: the outcomes of those before it are in the socket or in the log that the worker shares. Jobs after
it never began: they go back into the queue, unmarked. No job is blamed if that one had come back, or was settled.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import TypeVar

from steadypool.model.clock import monotonic
from steadypool.model.options import Task, TaskOptions
from steadypool.pools.core.functions import check_function
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job
from steadypool.pools.core.workers import WorkerFacts
from steadypool.pools.processes.after_fork import forget_process
from steadypool.pools.processes.chunk_intake import ChunkIntake
from steadypool.pools.processes.deaths import Deaths
from steadypool.pools.processes.fleet import Fleet
from steadypool.pools.processes.handover_watch import HandoverWatch
from steadypool.pools.processes.ipc.wire import can_keep_packets
from steadypool.pools.processes.job_starts import JobStarts
from steadypool.pools.processes.listener import Listener
from steadypool.pools.processes.orphan_reaper import OrphanReaper
from steadypool.pools.processes.places import Places
from steadypool.pools.processes.preparation import Preparation
from steadypool.pools.processes.pump import Pump
from steadypool.pools.processes.results import ResultReader
from steadypool.pools.processes.sent_jobs import SentToProcesses
from steadypool.pools.processes.shutdown import Departure
from steadypool.pools.processes.steal import Stealer
from steadypool.pools.processes.worker import ProcessWorker
from steadypool.pools.processes.worker_args import WorkerOptions, hold_standard_descriptors
from steadypool.pools.processes.worker_set import WorkerSet
from steadypool.pools.threads.hands import HandWorkers
from steadypool.pools.threads.nested_waits import PlainWaits
from steadypool.pools.threads.worker import JobRunner
from steadypool.primitives.wakeup import PipeBell

R = TypeVar("R")


class ProcessWorkers(HandWorkers):
    """The parts of a pool of processes, and what its core asks of them."""

    kind = "processes"

    def __init__(self, settings: Settings, max_workers: int, context: BaseContext, options: WorkerOptions) -> None:
        hold_standard_descriptors()  # first: the bell of the core is a pipe
        bell = PipeBell()
        super().__init__(settings, max_workers, bell)
        packets = can_keep_packets()
        core, self.bell = self.core, bell
        self.waits = PlainWaits(core)
        # Those that come later are called by the names that they will have.
        self.fleet = fleet = Fleet(core, bell, packets, lambda: self.pump.pump())
        self.workers, self.stuck, self.callers = fleet.workers, fleet.stuck, fleet.callers
        # A worker that is to end after so many jobs looks at their number between packets; and what is pushed out of a
        # full queue is one job.
        wears_out = options.max_tasks is not None or options.max_memory is not None
        fleet.takes_chunks = not wears_out and settings.on_full != "discard_oldest"
        fleet.takes_bundles = packets and not wears_out
        places = Places(fleet)
        watch = HandoverWatch(
            fleet,
            lambda worker: self.stealer.take_back(worker),
            lambda: self.stealer.steal_for_idle(),
            lambda: self.stealer.plan_to_share(),
            lambda worker: self.reader.take_gathered(worker),
        )
        starts = JobStarts(fleet, places, watch)
        forks = context.get_start_method() == "fork"
        self.preparation = Preparation(fleet, places, core.mark_own_thread, forks)
        self.stealer = Stealer(fleet, places, starts)
        self.listener = Listener(
            core, bell, lambda worker: self.reader.results_came(worker), lambda worker: self.deaths.worker_died(worker)
        )
        self.set = WorkerSet(fleet, self.listener, self.stealer, self.preparation, context, options)
        self.pump = Pump(fleet, places, starts, self.preparation, self.set.new_worker, self.set.retire)
        self.chunks = ChunkIntake(fleet, places, self.preparation, self.stealer, self.waits.is_own_thread)
        self.reader = ResultReader(fleet, places, starts, self.preparation, self.stealer, self.set)
        orphans = OrphanReaper(core)
        self.deaths = Deaths(fleet, places, self.stealer, self.reader, self.set, orphans)
        self.departure = Departure(fleet, self.set, self.listener, orphans)
        self.places_of_jobs = places
        self.sent = SentToProcesses(fleet, self.listener, self.stealer, self.set)

    # -- jobs on their way

    def resolve(self, fn: Callable[..., R]) -> tuple[Callable[..., R], TaskOptions]:
        """As `Workers.resolve`; a task that pickles by reference stays one, since its name leads to the task."""
        if type(fn) is Task:
            check_function(fn.fn)
            return fn.carried(), fn.merged(self.core.options)
        return super().resolve(fn)

    def prepare(self, job: Job) -> bool:
        """See `Workers.prepare`."""
        return self.preparation.prepare(job)

    def wake_worker(self) -> None:
        """A job was put into the queue: hand it to a worker with room."""
        self.supervision.supervise()
        if not self.fleet.full:
            self.fleet.pump()

    def take_waiting(self) -> Job | None:
        """See `Workers.take_waiting`."""
        return self.places_of_jobs.take_waiting()

    # -- jobs in hands

    def take_from_worker(self, job: Job) -> bool:
        """Take the job out of its worker's hand; false if it is not there any more."""
        worker = job._worker
        if worker is None or isinstance(worker, JobRunner):
            return super().take_from_worker(job)
        with self.core.lock:
            # It may have begun while the result of the one before has not been read yet.
            runs = worker.running() == (job,) or worker.has_started(job)
            try:
                worker.hand.remove(job)
            except ValueError:
                return False
            if runs:
                worker.taken_name = job._task_name
                worker.taken_arguments = self.core.user_calls.plain_arguments_of(job)
                worker.taken = job
            return True

    def stop_attempt(self, job: Job, cause: str) -> None:
        """Ask the attempt to stop. The lock is held."""
        job._tell(cause)
        worker = job._worker
        if isinstance(worker, ProcessWorker) and job in worker.hand:
            worker.tell(job, cause)

    def give_up_on(self, worker: ProcessWorker | JobRunner, job: Job) -> None:
        """Kill a worker that did not stop in its grace; another takes its place."""
        with self.core.lock:
            if worker.taken is not job or worker.left:
                return
            if isinstance(worker, JobRunner):
                worker.left = True
                self.fleet.stuck[worker] = job  # a caller's own thread: it cannot be killed
                self.core.limits.free(job)
                return
        self.set.kill(worker)

    def attempt_ends(self, job: Job) -> float | None:
        """When the attempt's time is up. The page is asked only when that could be now."""
        ends, timeout, worker = job._attempt_ends, job._options.timeout, job._worker
        now = monotonic()
        if ends is None or timeout is None or ends > now or isinstance(worker, JobRunner):
            return ends
        job._attempt_ends = (worker.page.began() if worker.has_started(job) else now) + timeout
        return job._attempt_ends

    def jobs_with_limits(self) -> list[Job]:
        """The jobs in workers' hands whose attempts have a time limit: those of no chunk do."""
        with self.core.lock:
            workers: list[ProcessWorker | JobRunner] = [*self.fleet.workers, *self.fleet.callers]
        return [job for worker in workers for job in worker.running() if job._attempt_ends is not None]

    # -- the books

    def held_jobs(self) -> list[Job]:
        """See `Workers.held_jobs`: a chunk that is asked about is unfolded."""
        with self.core.lock:
            for worker in self.fleet.workers:
                self.places_of_jobs.first_unfolded(worker)
        return super().held_jobs()

    def all_idle(self) -> bool:
        """Whether no worker holds a job. The lock is held."""
        return not self.fleet.callers and not any(worker.hand for worker in self.fleet.workers)

    def places(self) -> int:
        """How many jobs can run at a time: a worker that does not stop is killed and replaced."""
        return self.core.max_workers

    def worker_facts(self) -> WorkerFacts:
        """What `PoolStats` says of the workers. The lock is held."""
        return {
            "stuck": len(self.fleet.stuck),
            "workers": len(self.fleet.available),
            "capacity": self.core.max_workers,
            "restarts": self.set.restarts,
            "worker_rows": tuple(worker.row() for worker in sorted(self.fleet.available, key=lambda w: w.name)),
        }

    def recount(self) -> None:
        """See `HandWorkers.recount`."""
        self.fleet.recount()

    # -- the supervisor, and the end

    def rest(self, until: float | None) -> None:
        """See `Workers.rest`."""
        self.listener.rest(until)

    def shut_down_workers(self) -> None:
        """See `Workers.shut_down_workers`."""
        self.departure.shut_down_workers()

    def has_workers(self) -> bool:
        """Whether any worker lives."""
        return bool(self.fleet.workers)

    def wake_all_workers(self) -> None:
        """The pool is closed: have every worker leave."""
        with self.core.lock:
            self.fleet.recount()
            workers = list(self.fleet.workers)
        for worker in workers:
            worker.end_line()

    def join(self, until: float | None) -> None:
        """Wait for the workers to have left; after *until*, see them off here."""
        if not self.listener.gone.wait(None if until is None else max(0.0, until - monotonic())):
            self.departure.leave_now()
            with self.core.user_calls.hurrying():
                self.departure.shut_down_workers()
        self.set.starter.end()
        self.supervision.join(until)

    def after_fork(self) -> None:
        """In a forked child: the parent's ends must not stay open here, or the workers would outlive their parent."""
        super().after_fork()
        self.fleet.may_grow = False
        if self.listener.gone.is_set():
            return
        for worker in self.fleet.workers:
            worker.after_fork()
            if worker.process is not None:
                forget_process(worker.process)
        self.fleet.bell.close()
