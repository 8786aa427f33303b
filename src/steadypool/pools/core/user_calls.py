"""What a pool's threads have done elsewhere, since it is code of the user's and may hang.

The supervisor runs none of it, and neither does a worker that has still to say how its job ended. Done-callbacks,
``on_error``, finalizers and log handlers go to the callback thread. A ``repr``, a ``__str__`` or an
``__instancecheck__`` whose answer is needed at once is called aside, for a moment at most, unless it is known to be
Python's own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from steadypool.model.error_text import described, first_line, is_quickly_described, type_name
from steadypool.model.options import Retry
from steadypool.pools.core.settings import Settings
from steadypool.pools.core.shared import Job
from steadypool.primitives.arguments import arguments_text, is_quickly_shown, plain_text
from steadypool.primitives.callback_thread import CallbackThread
from steadypool.primitives.future import NAMED_BY_PYTHON
from steadypool.primitives.unretrieved import hurried
from steadypool.primitives.user_call import Aside
from steadypool.rules.retry import is_quickly_decided, is_worth_retrying

NOT_SHOWN = "<not shown: it would take too long>"
HANGS_AFTER = 0.1
"""Seconds after which code of the user's no longer holds up what waits behind it."""


class UserCalls:
    """The callback thread and the asides of one pool."""

    def __init__(
        self,
        settings: Settings,
        supervisors: set[int],
        mark_own_thread: Callable[[], None],
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._settings = settings
        self._supervisors = supervisors
        self._mark_own_thread = mark_own_thread
        self._call_later = call_later
        self.renew_threads()

    def renew_threads(self) -> None:
        """Also in a forked child, where the threads there were do not exist."""
        self.callback_thread = CallbackThread(self._settings.name, self._mark_own_thread)
        self.aside = Aside()
        self.callback_threads: list[CallbackThread] = [self.callback_thread]
        """Those that another thread takes over from when an errand of theirs hangs."""
        self._relief_planned = False

    def describe(self, error: BaseException) -> tuple[str, str]:
        """The error's texts for the ledger; a ``__str__`` that hangs does not hold up this thread."""
        if is_quickly_described(error):
            return described(error)
        name = type_name(error)
        return self.aside.call(partial(described, error), (f"{name}: {NOT_SHOWN}", NOT_SHOWN))

    def arguments_of(self, job: Job) -> str:
        """What reports say of the job's arguments. A ``repr`` that hangs does not hold up this thread."""
        show, args, kwargs = self._settings.show_arguments, job._args, job._kwargs
        text = partial(arguments_text, show, job._task_name, args, kwargs)
        return text() if is_quickly_shown(show, args, kwargs) else self.aside.call(text, f"({NOT_SHOWN})")

    def plain_arguments_of(self, job: Job) -> str:
        """The same without any code of the user's, for where the pool's lock is held. Empty once the job has ended."""
        return plain_text(self._settings.show_arguments, job._args, job._kwargs)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """In this block no code of the user's runs on the calling thread."""
        ident, before = threading.get_ident(), self.is_hurried()
        self._supervisors.add(ident)
        hurried.add(ident)
        try:
            yield
        finally:
            if not before:
                self._supervisors.discard(ident)
                hurried.discard(ident)

    def is_hurried(self) -> bool:
        """Whether the calling thread supervises, so that no code of the user's may run on it."""
        return threading.get_ident() in self._supervisors

    def made_of(self, job: Job) -> list[object] | None:
        """What the job was made of, if it might have finalizers of the user's and this thread must go on.

        To be asked before the job is settled, and to be given to `free` afterwards.
        """
        if not self.is_hurried():
            return None
        if is_quickly_shown(True, job._args or (), job._kwargs or {}) and type(job._fn) in NAMED_BY_PYTHON:
            return None
        return [job._fn, job._args, job._kwargs, job._context, job._pristine_context, job._packed]

    def free(self, job: Job, made_of: list[object] | None) -> None:
        """Have the callback thread be the last to let go of it."""
        if made_of is not None:
            self.send(self.callback_thread, made_of.clear, f"a finalizer of what job {job.job_id} was called with")

    def deliver(self, errand: Callable[[], None], about: str) -> None:
        """Run code of the user's that must not hold up the supervisor. It must not raise."""
        if not self.is_hurried():
            errand()
            return
        self.send(self.callback_thread, errand, about)

    def call_back(self, job: Job) -> None:
        """Run the done-callbacks of a job that has ended."""
        self.deliver(job._run_callbacks, f"a done-callback of job {job.job_id}")

    def send(self, callback_thread: CallbackThread, errand: Callable[[], object], about: str) -> None:
        """Have one of `callback_threads` run it, and see that one before it does not hold it up for long."""
        callback_thread.run(errand, about)
        if callback_thread.has_more() and not self._relief_planned:
            self._plan_relief()

    def _plan_relief(self) -> None:
        """Look in a moment whether what a callback thread runs holds up the rest."""
        self._relief_planned = True
        self._call_later(HANGS_AFTER, self._relieve)

    def _relieve(self) -> None:
        self._relief_planned = False
        for callback_thread in self.callback_threads:
            callback_thread.requeue_overdue(HANGS_AFTER)
        if any(callback_thread.has_more() for callback_thread in self.callback_threads):
            self._plan_relief()

    def log(self, message: str, *args: object, fault: BaseException) -> None:
        """Log a fault, on a thread that log handlers may hold up."""
        logger = logging.getLogger("steadypool")
        self.deliver(partial(logger.error, message, *args, exc_info=fault), "a log handler")

    def is_worth_retrying_now(self, job: Job, error: BaseException) -> bool:
        """Whether the job's `Retry` names such an error. It may name classes that answer by code of their own."""
        retry: Retry | None = job._options.retry
        if retry is None or job.attempts >= retry.attempts:
            return False
        if is_quickly_decided(retry):
            return is_worth_retrying(retry, error)
        try:
            worth = self.aside.call(partial(is_worth_retrying, retry, error), None)
        except Exception as broken:
            # A class whose own ``__instancecheck__`` raises: no reason to run again, or to lose the job.
            BaseException.add_note(error, f"(Retry.on could not be asked: it raised {type(broken).__name__})")
            return False
        if worth is None:
            BaseException.add_note(error, "(Retry.on could not be asked: it would have taken too long)")
        return bool(worth)

    def text_of(self, error: BaseException) -> str:
        """The first line of the error's message."""
        return self.aside.call(partial(first_line, error), NOT_SHOWN)

    def repr_of(self, error: BaseException) -> str:
        """The error's ``repr``."""
        if is_quickly_described(error):
            return repr(error)
        return self.aside.call(partial(repr, error), f"{type_name(error)}({NOT_SHOWN})")
