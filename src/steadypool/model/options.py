"""What to run, and how: `Task`, its `TaskOptions`, and `Retry`.

Options travel with the function, so that everything that takes an Executor supports them. A `Task` stays the
plain function when called; a pool reads the options from it.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from steadypool.model import declared_limits
from steadypool.model.call_gates import CallGates
from steadypool.model.checks import as_seconds, check_count, check_seconds, is_number
from steadypool.model.limit import By, FixedLane, Limit, as_limits, check_lane, lane_of_options

if TYPE_CHECKING:
    from datetime import timedelta

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


def _take_plain(options: object, name: str, number: float | None) -> None:
    """Have *options* keep Python's own number in the place of numpy's, which may have fewer bits."""
    if number is not None and type(getattr(options, name)) not in (int, float):
        object.__setattr__(options, name, number)


def _check_exceptions(what: str, value: object) -> tuple[type[BaseException], ...]:
    types = value if isinstance(value, tuple) else (value,)
    for one in types:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(f"{what} must be an exception class or a tuple of them, not {one!r}")
    return types


@dataclass(frozen=True)
class Retry:
    """When a failed attempt is followed by another.

    Args:
        attempts: how many times the job may run in all, the first run included.
        on: the exceptions that are worth another attempt. `WorkerCrashed` and `JobTimeout` only count when
            named here.
        give_up_on: exceptions that are not, though *on* names a base class of theirs.
        backoff: seconds before the second attempt: 0.1 in a pool, 10 for a durable task, if it is not given.
        factor: by how much each further wait is longer than the one before.
        max_backoff: the longest wait, in seconds: 30 in a pool, 3600 for a durable task, if it is not given.
        jitter: spread each wait over 50 % to 100 % of its length, so that jobs which failed together do not
            all come back together.

    The waits of ``Retry(5)`` add up to 1.5 s in a pool, whose caller waits for the result, and to two and a half
    minutes for a durable task; those of ``Retry(10)`` to 51 s and to 85 minutes. Jitter takes up to half of that away.

    Raises:
        TypeError, ValueError: for an invalid value, naming it.
    """

    attempts: int
    on: ExceptionTypes = Exception
    give_up_on: ExceptionTypes = ()
    backoff: float | None = None
    factor: float = 2.0
    max_backoff: float | None = None
    jitter: bool = True

    def __post_init__(self) -> None:
        _take_plain(self, "attempts", check_count("Retry(attempts)", self.attempts))
        _check_exceptions("Retry(on)", self.on)
        _check_exceptions("Retry(give_up_on)", self.give_up_on)
        for name in ("backoff", "max_backoff"):
            seconds = check_seconds(f"Retry({name})", getattr(self, name), zero=True)
            _take_plain(self, name, seconds)
        if not isinstance(self.jitter, bool):
            raise TypeError(f"Retry(jitter) must be True or False, not {self.jitter!r}")
        if not is_number(self.factor):
            raise TypeError(f"Retry(factor) must be a number, not {self.factor!r}")
        if not self.factor >= 1:
            raise ValueError(f"Retry(factor) must be 1 or more; got {self.factor!r}")


@dataclass(frozen=True)
class TaskOptions:
    """How one task is to be run. ``None`` means: as the pool has it.

    Args:
        name: what reports call it; the function's own qualified name by default.
        id: the job's id; made up by the pool by default.
        timeout: seconds one attempt may run; ``math.inf`` for no limit whatever the pool's default is.
        total_timeout: seconds from submit to the end of the last attempt, waiting included.
        retry: when a failed attempt is followed by another.
        priority: higher runs first; jobs of one priority run in the order of their submits.
        meta: a small mapping that shows up in events and reports.
        limit: a `Limit`, or several: how many of its jobs may run at one time, or start in a time.
        lane: the name of a parameter, several names, or a function of the call's arguments: the jobs of each value wait
            in a lane of their own, and lanes take turns. In `Task.options` a text is the lane itself.
    """

    name: str | None = None
    id: str | None = None
    timeout: float | None = None
    total_timeout: float | None = None
    retry: Retry | None = None
    priority: int = 0
    meta: Mapping[str, Any] | None = None
    limit: Limit | Sequence[Limit] | None = None
    lane: By | FixedLane | None = None
    gates: CallGates | None = field(default=None, init=False, repr=False, compare=False)
    """What limit and lane say of the task's calls."""
    earlier_attempts: int = field(default=0, init=False, repr=False, compare=False)
    """Attempts that were made elsewhere before, for `JobContext.attempt`: a durable queue knows of them."""
    plain: bool = field(default=True, init=False, repr=False, compare=False)
    """Whether a job of these takes the fast path: first in, first out, one attempt, no clock."""
    bare: bool = field(default=True, init=False, repr=False, compare=False)
    """Whether the job needs none of these options in its context."""

    def __post_init__(self) -> None:
        for what in ("name", "id"):
            value = getattr(self, what)
            if value is not None and not (isinstance(value, str) and value):
                raise TypeError(f"{what} must be a non-empty str, not {value!r}")
        for what in ("timeout", "total_timeout"):
            _take_plain(self, what, check_seconds(what, as_seconds(getattr(self, what))))
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise TypeError(f"retry must be a Retry such as Retry(attempts=3), not {self.retry!r}")
        _take_plain(self, "priority", check_count("priority", self.priority, least=-sys.maxsize))
        if self.meta is not None and not isinstance(self.meta, Mapping):
            raise TypeError(f"meta must be a mapping such as {{'tenant': 'a'}}, not {self.meta!r}")
        object.__setattr__(self, "limit", as_limits(self.limit) or None)
        check_lane(self.lane)
        plain = self.timeout is None and self.total_timeout is None and self.retry is None and self.priority == 0
        plain = plain and self.limit is None and self.lane is None
        object.__setattr__(self, "plain", plain)
        bare = plain and self.name is None and self.id is None and not self.meta and not self.earlier_attempts
        object.__setattr__(self, "bare", bare)

    def for_job(self, id: str, meta: Mapping[str, Any], earlier_attempts: int) -> TaskOptions:
        """These options for one job that another component keeps account of. What was checked is not checked again."""
        own = object.__new__(TaskOptions)
        own.__dict__.update(self.__dict__, id=id, meta=meta, earlier_attempts=earlier_attempts, bare=False)
        return own

    def with_gates(self, gates: CallGates | None) -> TaskOptions:
        """The same, once it is known what limit and lane say of the calls."""
        own = replace(self)
        object.__setattr__(own, "gates", gates)
        return own

    def over(self, defaults: TaskOptions) -> TaskOptions:
        """These options, with what is not set taken from *defaults*, and "no limit" spelt ``None``."""
        merged = replace(
            self,
            timeout=_limit(self.timeout, defaults.timeout),
            total_timeout=_limit(self.total_timeout, defaults.total_timeout),
            retry=self.retry if self.retry is not None else defaults.retry,
        )
        return merged if self.gates is None else merged.with_gates(self.gates)


def _limit(own: float | None, default: float | None) -> float | None:
    limit = own if own is not None else default
    return None if limit == math.inf else limit


class TaskKeywords(TypedDict, total=False):
    """The options of `TaskOptions` as keywords, for type checkers."""

    name: str | None
    id: str | None
    timeout: float | timedelta | None
    total_timeout: float | timedelta | None
    retry: Retry | None
    priority: int
    meta: Mapping[str, Any] | None
    limit: Limit | Sequence[Limit] | None
    lane: By | None


OPTION_NAMES = frozenset(f.name for f in fields(TaskOptions) if f.init)


class Task(Generic[P, R_co]):
    """A function with options. Calling it calls the function.

    It pickles by reference when it is a module's attribute (as ``@task`` makes it), works as a method, and
    :meth:`options` gives a copy with other options.
    """

    def __init__(self, fn: Callable[P, R_co], options: TaskOptions) -> None:
        if isinstance(fn, Task):
            raise TypeError(f"{fn!r} is a task already; use .options(...) to change its options")
        if isinstance(fn, classmethod):
            raise TypeError("a task needs a function: put @classmethod above @task, not below it")
        if not callable(fn):
            raise TypeError(f"a task needs a function, not {fn!r}")
        self._is_static = isinstance(fn, staticmethod)
        if isinstance(fn, staticmethod):
            fn = fn.__func__
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.task_options = options
        self._limits_name = ""
        """What a limit without a name is called: as the task was when it was made, whatever one call is named."""
        if options.limit is not None or options.lane is not None:
            self._limits_name = task_name(fn, options)
            gates = options.gates or CallGates(fn, self._limits_name, as_limits(options.limit), options.lane)
            self.task_options = options.with_gates(gates)
            if type(self) is Task and options.gates is None:
                declared_limits.note(fn, gates.limits)
        self._remade_by: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._by_name: bool | None = None
        self._merged: tuple[TaskOptions, TaskOptions] | None = None

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.fn(*args, **kwargs)

    def options(self, **changes: Unpack[TaskKeywords]) -> Task[P, R_co]:
        """A copy with some options changed: ``fetch.options(timeout=5, id="order-42")``.

        Raises:
            TypeError, ValueError: for an option that does not exist or an invalid value.
        """
        _refuse_unknown(set(changes) - OPTION_NAMES)
        given: dict[str, Any] = {**changes}
        derived = Task(self.fn, self._changed_options(given))
        derived._limits_name = self._limits_name or derived._limits_name
        derived._remade_by = (_derive, (self, changes))
        return derived

    def _changed_options(self, given: dict[str, Any]) -> TaskOptions:
        if "lane" in given:
            given["lane"] = lane_of_options(given["lane"])
        options = replace(self.task_options, **given)
        if options.limit is None and options.lane is None:
            return options
        gates = self.task_options.gates
        if gates is None or "limit" in given or "lane" in given:
            name = self._limits_name or task_name(self.fn, self.task_options)
            gates = CallGates(self.fn, name, as_limits(options.limit), options.lane)
        return options.with_gates(gates)

    def merged(self, defaults: TaskOptions) -> TaskOptions:
        """The options over *defaults*; remembered for the pool that asked last."""
        merged = self._merged
        if merged is None or merged[0] is not defaults:
            merged = self._merged = (defaults, self.task_options.over(defaults))
        return merged[1]

    def carried(self) -> Callable[..., Any]:
        """What stands for this task on its way to another process: a task found by its name, or the function."""
        origin = self
        while origin._remade_by is not None and origin._remade_by[0] is _derive:
            origin = origin._remade_by[1][0]
        if origin._by_name is None and origin._remade_by is None:
            module = getattr(origin.fn, "__module__", None)
            origin._by_name = find(module, getattr(origin.fn, "__qualname__", None)) is origin
        return origin if origin._by_name else self.fn

    def __get__(self, instance: Any, owner: type | None = None) -> Task[..., R_co]:
        if instance is None or self._is_static:
            return self
        bound: Task[..., R_co] = Task(MethodType(self.fn, instance), self.task_options)
        bound._remade_by = (getattr, (instance, self.fn.__name__))
        return bound

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self._remade_by is not None:
            return self._remade_by
        name: str | None = getattr(self.fn, "__qualname__", None)
        if name is not None and find(getattr(self.fn, "__module__", None), name) is self:
            return name
        return (Task, (self.fn, self.task_options))

    if not TYPE_CHECKING:  # for a type checker there would be every attribute then

        def __getattr__(self, name: str) -> Any:
            from steadypool.model.peer_names import missing_attribute  # for a mistake alone

            how = "submit a call of it to a pool: pool.submit(task, ...)"
            raise AttributeError(missing_attribute(self, name, "a task", how, how))

    def __repr__(self) -> str:
        return f"<task {task_name(self)}>"


def _refuse_unknown(names: Collection[str]) -> None:
    if names:
        from steadypool.model.peer_names import unknown_option  # for a mistake alone

        raise TypeError("; ".join(unknown_option(name, OPTION_NAMES) for name in sorted(names)))


def _derive(origin: Task[P, R], changes: dict[str, Any]) -> Task[P, R]:
    return origin.options(**changes)


def find(module: str | None, qualname: str | None) -> object:
    """What a module that has been imported has under this name; ``None`` if nothing."""
    if module is None or qualname is None:
        return None  # a partial, an object with __call__, a method of a built-in type: nothing that has a place
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


@overload
def task(fn: Callable[P, R], /, **options: Unpack[TaskKeywords]) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskKeywords]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    id: str | None = None,
    timeout: float | timedelta | None = None,
    total_timeout: float | timedelta | None = None,
    retry: Retry | None = None,
    priority: int = 0,
    meta: Mapping[str, Any] | None = None,
    limit: Limit | Sequence[Limit] | None = None,
    lane: By | None = None,
    **unknown: object,
) -> Any:
    """Make a function a `Task`: ``@task(timeout=30)`` above it, or ``fetch = task(requests.get, timeout=5)``.

    The options are those of `TaskOptions`. ``limit`` takes a `Limit`, or several: ``@task(limit=Limit(running=5))`` has
    the pools of the program run five of its jobs at one time; the others wait without a worker. With ``lane="tenant"``
    the values of that parameter take turns.

    Raises:
        TypeError, ValueError: at once, for an option that does not exist or an invalid value.
    """
    _refuse_unknown(unknown)
    options = TaskOptions(name, id, as_seconds(timeout), as_seconds(total_timeout), retry, priority, meta, limit, lane)
    if fn is None:
        return lambda function: Task(function, options)
    return Task(fn, options)


def task_name(fn: Callable[..., Any], options: TaskOptions | None = None) -> str:
    """What reports call *fn*: the name option, or ``module.qualname``. Never raises, whatever *fn* does when asked."""
    if options is None and isinstance(fn, Task):
        options = fn.task_options
    if options is not None and options.name is not None:
        return options.name
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = _own_text(fn, "__qualname__") or type(fn).__qualname__
    module = _own_text(fn, "__module__")
    return f"{module}.{name}" if module and module != "builtins" else name


def _own_text(fn: object, attribute: str) -> str | None:
    try:
        value = getattr(fn, attribute, None)
    except Exception:
        return None  # a proxy's own ``__getattr__`` may do anything, and a name is not worth a job
    return value if isinstance(value, str) else None
