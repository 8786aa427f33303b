"""What can go wrong with a durable queue.

SteadypoolError
├── EngineError                 the store said no
│   ├── EngineBusy              ... another connection held it for too long; trying again may work
│   │   └── KeyBusy             ... a job of the same id or unique key is being put in a transaction that is still open
│   ├── EngineGone              ... it cannot be reached; it may come back
│   ├── EngineFull              ... there is no room left to write to
│   └── EngineRefused           ... it cannot keep what it was given: too large, or no text in its encoding
├── SchemaMismatch              the tables are missing, or of another version
├── PayloadRefused (TypeError)  the arguments do not fit the task's signature, or JSON
│   ├── ArgumentsUnfit          ... of a stored job, as this worker knows the task
│   └── ResultUnfit             ... what the task returned
├── TaskNotHere                 a process of a worker does not have the task
├── UnknownJob     (LookupError)
├── UnknownBatch   (LookupError)
├── WrongState     (RuntimeError)  the job is not in a state from which that can be done
└── JobDiscarded                what `JobHandle.result` raises for a job that failed for good
"""

from __future__ import annotations

from steadypool.model.errors import SteadypoolError


class EngineError(SteadypoolError):
    """The base class of database errors: the store could not do what the queue asked.

    The driver's own error is ``__cause__``.

    Attributes:
        nothing_happened: whether it is certain that nothing was changed. Else it may or may not have been.
    """

    nothing_happened = False


class EngineBusy(EngineError):
    """The store was locked by another connection for the whole timeout."""


class KeyBusy(EngineBusy):
    """A job of the same id or unique key is being put at this moment, in a transaction that has not ended yet."""


class EngineGone(EngineError):
    """The store cannot be reached, or is not there any more."""


class EngineFull(EngineError):
    """The store has no room left."""


class EngineRefused(EngineError):
    """The store cannot keep what it was given: it is too large, or text that the store has no characters for.

    Nothing was written, and trying again would not help.
    """


class SchemaMismatch(SteadypoolError):
    """The tables are missing, or not of the version that this Steadypool works with."""


class PayloadRefused(SteadypoolError, TypeError):
    """An argument cannot be encoded, or does not fit the task's signature.

    Attributes:
        argument: which one, as the signature names it.
    """

    def __init__(self, message: str = "", *, argument: str = "") -> None:
        super().__init__(message)
        self.argument = argument


class ArgumentsUnfit(PayloadRefused):
    """A stored call does not fit the task's signature as this worker has it: another version has enqueued it."""


class ResultUnfit(PayloadRefused):
    """What a task returned cannot be stored as it is. The job has run, and is not run again."""

    def __init__(self, message: str = "", *, argument: str = "return") -> None:
        super().__init__(message, argument=argument)


class TaskNotHere(SteadypoolError):
    """A process of the worker's pool does not have the task that the worker has: the job goes back."""


class UnknownJob(SteadypoolError, LookupError):
    """There is no job of that id, or its record was pruned."""


class UnknownSchedule(SteadypoolError, LookupError):
    """There is no schedule of that name, or the name fits more than one."""


class UnknownLimit(SteadypoolError, LookupError):
    """There is no limit of that name, or the name fits more than one."""


class UnknownBatch(SteadypoolError, LookupError):
    """There is no batch of that id, or its record was pruned."""


class WrongState(SteadypoolError, RuntimeError):
    """The job is not in a state from which that can be done.

    Attributes:
        state: where it is.
    """

    def __init__(self, message: str = "", *, state: str = "") -> None:
        super().__init__(message)
        self.state = state


class OtherRun(SteadypoolError):
    """A journal is of another run, or the input is not what it was."""


class JobDiscarded(SteadypoolError):
    """The job failed for good.

    Attributes:
        job_id: the job's id.
        reason: why it will not run again.
        type_name: the qualified name of the last attempt's exception, if one was raised.
        traceback: that exception's traceback, as text.
    """

    def __init__(
        self, message: str = "", *, job_id: str = "", reason: str = "", type_name: str = "", traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.reason = reason
        self.type_name = type_name
        self.traceback = traceback
