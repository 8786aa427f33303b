"""What running jobs save for their next run, their checkpoints: a part of the seam of `durable.engine.protocol`.

Theory of operation
-------------------
A job has at most one **note**: the state that it saved last, encoded, with the token of the run that saved it and how
many saves that run had made. It goes this way::

    job       ── save ──▶ the job's future, in the worker    memory; the latest one alone  (`durable.worker.saver`)
    worker    ── about each second, `NoteStore.save` ──▶ note                         (`durable.worker.job_reports`)
              ── RETRY or RETURN, `Settlement.note`, with the settlement ──▶ note
    job       ── save(flush=True), `NoteStore.save` ──▶ note, before it goes on
    the end   completed, discarded, cancelled: the note goes, in the same transaction
    a claim   of a job that came back: the worker reads the note before the job starts     (`durable.worker.dispatch`)

So an attempt that failed, an interruption and a time limit lose nothing; the death of a job's process loses what had
not left it; the death of the worker what was saved since it last wrote. The next run repeats that much.

The races, and what closes each:

* *A worker that has lost the job writes.* Each write looks, in its transaction, whether the job is out under just that
  token and that lease. It holds the job's row meanwhile (SQLite has one writer in any case), so that a sweep, a
  settlement or the next claim comes before it, and refuses it, or after it.
* *The worker writes an older state behind a flush, or two writes of one run overtake each other.* A note is replaced by
  a later one only: of a later run, or of the same with more saves.
* *A job that ended is saved.* Its row is gone, so the write is refused: no note is left behind.
* *A job is claimed, and the note cannot be read.* It does not start from the beginning: it goes back.
* *A job was cancelled, and its worker, which has not heard, gives it back with a note.* It ends, and so does its note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

MOST_BYTES = 65_536
"""Of one state, encoded."""


class Note(NamedTuple):
    """What one claim has saved last."""

    number: int
    token: int
    lease: int
    saves: int
    """How many of its saves this one is."""
    state: bytes


class NoteStore(Protocol):
    """Notes of one store. Each call is one transaction; errors, time and threads are as `Engine` has them."""

    def save(self, notes: Sequence[Note]) -> frozenset[tuple[int, int]]:
        """Keep these; returns the ``(number, lease)`` of those that were refused: the claim was lost, or settled."""

    def read(self, numbers: Sequence[int]) -> Mapping[int, bytes]:
        """The states that these jobs have saved, those that have."""
