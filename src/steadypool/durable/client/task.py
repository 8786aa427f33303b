"""`DurableTask`: a task that can also be enqueued."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from inspect import Parameter, isasyncgenfunction, isgeneratorfunction, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, Unpack, overload

import msgspec

from steadypool.durable.client import options as enqueueing
from steadypool.durable.client.batch import as_member, open_batch
from steadypool.durable.client.call import Call, check_has_input
from steadypool.durable.client.chain import Result, with_results
from steadypool.durable.client.checkpoint import StateType
from steadypool.durable.client.declared import Declared
from steadypool.durable.client.handle import JobHandle
from steadypool.durable.client.home import Home
from steadypool.durable.client.options import EnqueueKeywords, EnqueueOptions
from steadypool.durable.client.origin import Origin
from steadypool.durable.client.payload import Payload
from steadypool.durable.client.turns import TaskTurns
from steadypool.durable.engine.job_json import JOB_ID, REASON, kept_for_discard
from steadypool.durable.engine.links import check_order
from steadypool.durable.engine.records import NewJob
from steadypool.durable.engine.turns import Turn
from steadypool.model.limit import Limit, as_limits, lane_of_options
from steadypool.model.options import Task, TaskOptions, task_name
from steadypool.primitives.job_context import running_loop

_FACTS = frozenset({JOB_ID, REASON})
"""What a task of ``on_discarded=`` can have as arguments, besides those of the job that is given up."""
_MANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class DurableTask(Task[P, R_co]):
    """What ``@queue.task(...)`` makes: the function, its options, and the queue.

    Called, it is the plain function. Submitted to a pool, it is a task like any other. `enqueue` puts a job into the
    queue.
    """

    def __init__(
        self,
        queue: Home,
        fn: Callable[P, R_co],
        options: TaskOptions,
        how: EnqueueOptions,
        *,
        aliases: tuple[str, ...] = (),
        made: Origin | None = None,
    ) -> None:
        super().__init__(fn, options)
        if how.at is None:
            enqueueing.check_in_time(how, options, 0.0)
        self._aliases = aliases
        self.kind: str | None = None
        """What runs its jobs: ``"thread"``, ``"process"``, ``"async"``; ``None``: the worker decides."""
        self.states: StateType | None = None
        """How the states are kept that its jobs save, if they save any."""
        self._made = made
        self._name: str | None = None
        self.queue = queue
        self.enqueue_options = how
        self._changed: frozenset[str] = frozenset()
        """Names of options that differ from those of the task itself."""
        self._origin: DurableTask[P, R_co] = self
        self._payload: Payload | None = None
        self._per_call: bytes | None = None
        self.turns: TaskTurns | None = None
        """Where its jobs wait for their turn, if it has limits or a lane."""
        self.schedules: Declared = ()
        """The schedules that it is declared with, by their names."""
        if how.on_discarded is not None:
            _check_on_discarded(self, how.on_discarded)

    @property
    def durable_name(self) -> str:
        """What the task is called in the database, by which a worker finds it."""
        if self._name is None:
            name = durable_name(self.fn, self.task_options)
            enqueueing.check_name("the name of a durable task", name, "app.send_email")
            self._name = name
        return self._name

    @property
    def limits(self) -> Mapping[str, Limit]:
        """Its limits, by their names."""
        return {} if self.turns is None else self.turns.limits

    def set_turns(self) -> None:
        """Have its jobs pass the limits among its options, and take turns by the lane.

        Raises:
            TypeError, ValueError: one of them does not fit the function.
        """
        limits, lane = as_limits(self.task_options.limit), self.task_options.lane
        if limits or lane is not None:
            self.turns = TaskTurns(self.fn, self.durable_name, limits, lane)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by which a worker finds the task: its own, and its aliases."""
        return (self.durable_name, *self._aliases)

    def replaces(self, other: DurableTask[Any, Any]) -> bool:
        """Whether this is what *other* has become, since its module ran again; else they are two tasks."""
        return self._made is not None and other._made is not None and self._made.is_later_run_of(other._made)

    def whereabouts(self) -> str:
        """The function and where it was made a task, for messages."""
        return f"{task_name(self.fn)}, made at {self._made or 'run time'}"

    @property
    def payload(self) -> Payload:
        """How calls of it are stored. Made when first asked for: annotations may name what the module defines later.

        Raises:
            TypeError: a parameter has a type that cannot be stored.
        """
        origin = self._origin
        if origin._payload is None:
            name = task_name(origin.fn, origin.task_options)
            origin._payload = Payload(name, origin.fn, origin.queue.max_payload)
        return origin._payload

    def decode_result(self, encoded: bytes) -> Any:
        """The value that was stored as this JSON, in the type that the task returns."""
        return self.payload.decode_result(encoded)

    def decode_checkpoint(self, encoded: bytes) -> Any:
        """The state that was saved as this JSON, in the type of the task's ``checkpoint``."""
        return msgspec.json.decode(encoded) if self.states is None else self.states.decode(encoded)

    @overload
    def enqueue(self: OfCoroutine[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]: ...
    @overload
    def enqueue(self: OfCoroutine[P, T], /, *args: Any, connection: Any, **kwargs: Any) -> JobHandle[T]: ...
    @overload
    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]: ...
    @overload
    def enqueue(self, /, *args: Any, connection: Any, **kwargs: Any) -> JobHandle[R_co]: ...
    def enqueue(self, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
        """Put a job into the queue. When this returns it is durable, and will be run at least once.

        ``connection=`` is not given to the task, unless it has a parameter of that name: it is a connection to the
        queue's own database, and the job is put in its transaction. Then it is there if and only if that commits.

        Raises:
            PayloadRefused: an argument cannot be stored, or does not fit the signature; nothing was enqueued.
            EngineError: the store could not do it; it says whether the job may still have been enqueued.
            RuntimeError: this thread runs an event loop, which would be blocked: use `enqueue_async`.
        """
        connection = self._connection_among(kwargs)
        job = check_has_input(self.new_job(args, kwargs))
        if connection is None:
            return self._put(job)
        [placed] = self.queue.engine.put_on(connection, [as_member(self.queue, job)])
        return JobHandle(self.queue, placed, self)

    @overload
    def call(self: OfCoroutine[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Call[T]: ...
    @overload
    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]: ...
    def call(self, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """One call as a value, for `Queue.put`: checked and encoded now, and put later.

        Raises:
            PayloadRefused: an argument cannot be stored, or does not fit the signature.
        """
        return Call(self.new_job(args, kwargs))

    def enqueue_json(self, text: str | bytes) -> JobHandle[R_co]:
        """Enqueue a call that is given as JSON: an array of arguments, or an object of them by name.

        Raises:
            PayloadRefused, EngineError: as `enqueue` does.
        """
        job = self.job_with(self.payload.from_json(text))
        return self._put(job if self.turns is None else job._replace(turn=self.turn_of(job.payload)))

    def turn_of(self, payload: bytes) -> Turn | None:
        """Where a call waits for its turn whose arguments are that JSON.

        Raises:
            ArgumentsUnfit: they do not fit the function.
            PayloadRefused: one has no text that could be a key.
        """
        if self.turns is None:
            return None
        return self.turns.of(*self.payload.decode(payload)) if self.turns.has_keys else self.turns.of((), {})

    @overload
    async def enqueue_async(self: OfCoroutine[P, T], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[T]: ...
    @overload
    async def enqueue_async(self: OfCoroutine[P, T], /, *args: Any, connection: Any, **kwargs: Any) -> JobHandle[T]: ...
    @overload
    async def enqueue_async(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R_co]: ...
    @overload
    async def enqueue_async(self, /, *args: Any, connection: Any, **kwargs: Any) -> JobHandle[R_co]: ...
    async def enqueue_async(self, /, *args: Any, **kwargs: Any) -> JobHandle[Any]:
        """The same from asyncio: the loop goes on while the job is written.

        ``connection=`` may then be one of asyncio's, too.

        Raises:
            PayloadRefused, EngineError: as `enqueue` does.
        """
        import asyncio  # for those who use it

        connection = self._connection_among(kwargs)
        job = check_has_input(self.new_job(args, kwargs))
        job = as_member(self.queue, job)
        if connection is not None:
            [placed] = await self.queue.engine.put_on_async(connection, [job])
            return JobHandle(self.queue, placed, self)
        [placed] = await asyncio.shield(asyncio.wrap_future(self.queue.writer.put_soon([job])))
        return JobHandle(self.queue, placed, self)

    def options(self, **changes: Unpack[EnqueueKeywords]) -> DurableTask[P, R_co]:
        """A copy with some options changed: ``send.options(delay=60, unique="welcome:42").enqueue(...)``.

        Besides the options of every task there are those of `EnqueueOptions`. ``timeout``, ``retry`` and ``meta``
        travel with the job; ``name`` is the task's own.

        Raises:
            TypeError, ValueError: for an option that does not exist or an invalid value.
        """
        ours, others = enqueueing.split_options(changes)
        if "limit" in others:
            raise TypeError(
                "limit is for all jobs of a task: give it to @queue.task(limit=...), and set it by hand with "
                "queue.limits.set(...)"
            )
        lane = others.pop("lane", None)
        if lane is not None:
            others["lane"] = lane_of_options(lane)
        changed = self._changed | others.keys()
        options = replace(self.task_options, **others)
        if lane is None:
            options = options.with_gates(self.task_options.gates)
        derived = DurableTask(self.queue, self.fn, options, enqueueing.change(self.enqueue_options, ours))
        derived._changed = changed
        derived.turns, derived.states = self.turns, self.states
        if lane is not None:
            derived.set_turns()
        derived._origin = self._origin
        derived._per_call = enqueueing.encode_per_call(options, changed)
        derived._remade_by = (_derive, (self._origin, {**self._changes_so_far(), **changes}))
        return derived

    if not TYPE_CHECKING:  # for a type checker there would be every attribute then

        def __getattr__(self, name: str) -> Any:
            from steadypool.model.peer_names import missing_attribute  # for a mistake alone

            enqueue = (
                "enqueue a job of it with enqueue(...), from asyncio with await enqueue_async(...), and one for later "
                "with options(delay=60).enqueue(...)"
            )
            call = "make a call of it with call(...), for queue.put(...), chain(...) or a batch"
            raise AttributeError(missing_attribute(self, name, "a durable task", enqueue, call))

    def _changes_so_far(self) -> dict[str, Any]:
        return {} if self._remade_by is None else dict(self._remade_by[1][1])

    def new_job(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob:
        """The record of one call.

        Raises:
            PayloadRefused: it cannot be stored.
        """
        if any(value is Result for value in (*args, *kwargs.values())):
            return self._job_with_gaps(args, kwargs)
        job = self.job_with(self.payload.encode(args, kwargs))
        return job if self.turns is None else job._replace(turn=self.turns.of(args, kwargs))

    def _job_with_gaps(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob:
        payload, names = self.payload.encode_but(args, kwargs, Result)
        job = self.job_with(payload)
        if self.turns is not None:
            job = job._replace(turn=self.turns.of_gaps(args, kwargs, names))
        return job._replace(options=with_results(job.options, names))

    def _put(self, job: NewJob) -> JobHandle[R_co]:
        name = task_name(self.fn).rpartition(".")[2]
        refuse_on_loop(f"{name}.enqueue", f"{name}.enqueue_async")
        batch = open_batch(self.queue)
        if batch is not None:
            return batch.gather(job, self)
        [placed] = self.queue.writer.put([job])
        return JobHandle(self.queue, placed, self)

    def job_with(self, payload: bytes) -> NewJob:
        """The record of a call whose arguments are that JSON."""
        how = self.enqueue_options
        job = enqueueing.new_job(self.durable_name, payload, how, self.task_options, self._per_call)
        if job.after:
            check_order([job])
        other = how.on_discarded
        if not isinstance(other, DurableTask):
            return job
        return job._replace(on_discarded=_on_discarded(self, other, job))

    def _connection_among(self, kwargs: dict[str, Any]) -> Any:
        if "connection" not in kwargs or self.payload.has_parameter("connection"):
            return None
        return kwargs.pop("connection")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self  # a durable task is a function of a module: it has no instance that could travel

    def __repr__(self) -> str:
        return f"<durable task {self.durable_name}>"


OfCoroutine: TypeAlias = DurableTask[P, Coroutine[Any, Any, T]]
"""A task whose function is a coroutine function: its jobs end with the value that the coroutine returns."""


def durable_name(fn: Callable[..., Any], options: TaskOptions) -> str:
    """The name option, or ``module.qualname``; for a program's main module, as another process imports it."""
    if options.name is not None:
        return options.name
    module = getattr(fn, "__module__", None)
    if module != "__main__":
        return task_name(fn, options)
    main: Any = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    if spec is not None and spec.name:
        module = spec.name.removesuffix(".__main__")
    elif file:
        module = Path(file).stem
    return f"{module}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"


def _derive(origin: DurableTask[P, R], changes: dict[str, Any]) -> DurableTask[P, R]:
    return origin.options(**changes)


def check_function(fn: object, name: str | None) -> None:
    """Do nothing, unless *fn* cannot become a durable task of that name.

    Raises:
        TypeError: saying why.
    """
    if isinstance(fn, DurableTask):
        raise TypeError(f"{fn!r} is a durable task already")
    if not callable(fn) or isinstance(fn, type):
        raise TypeError(f"a durable task needs a function, not {fn!r}")
    if isgeneratorfunction(fn) or isasyncgenfunction(fn):
        raise TypeError(f"a durable task returns its result once, and {fn!r} is a generator function: return a list")
    if name is None and not hasattr(fn, "__qualname__"):
        raise TypeError(f"{fn!r} has no name by which a worker could find it: give it one, queue.task(fn, name=...)")


def refuse_on_loop(call: str, instead: str) -> None:
    """Do nothing, unless this thread runs an event loop, which *call* would block.

    Raises:
        RuntimeError: it does.
    """
    if running_loop() is not None:
        raise RuntimeError(
            f"{call}(...) waits for the disk, and this thread runs an event loop: use await {instead}(...)"
        )


# -- the task that is run when a job is given up


def _check_on_discarded(task: DurableTask[Any, Any], other: object) -> None:
    """Do nothing if *other* can be run when a job of *task* is given up.

    Raises:
        TypeError, ValueError: it cannot, naming what is wrong.
    """
    name = task.durable_name
    if not isinstance(other, type(task)) or other.queue is not task.queue:
        raise TypeError(f"{name}: on_discarded must be a task of the same queue, made by @queue.task, not {other!r}")
    how = other.enqueue_options
    if other.task_options.id is not None or how.unique is not None or how.after:
        raise ValueError(
            f"{name}: on_discarded runs for each job: {other.durable_name} must have no id, no unique and no after"
        )
    known = _parameters(task).keys() | _FACTS
    for parameter in _parameters(other).values():
        if parameter.name not in known and parameter.default is parameter.empty:
            raise TypeError(
                f"{name}: on_discarded is called with {JOB_ID}, {REASON} and the arguments of {name}, and "
                f"{other.durable_name} needs {parameter.name!r}, which is none of these"
            )


def _on_discarded(task: DurableTask[Any, Any], other: DurableTask[Any, Any], job: NewJob) -> str:
    """What is kept with *job*, a call of *task*."""
    wanted = frozenset(_parameters(other))
    arguments = task.payload.some_of(job.payload, wanted & _parameters(task).keys() - _FACTS)
    return kept_for_discard(other.job_with(arguments), wanted)


def _parameters(task: DurableTask[Any, Any]) -> dict[str, Parameter]:
    return {name: one for name, one in signature(task.fn).parameters.items() if one.kind not in _MANY}
