"""The states that jobs of one task save: ``@queue.task(checkpoint=int)``. They are kept as JSON, typed."""

from __future__ import annotations

from typing import Any

import msgspec

from steadypool.durable.client import models
from steadypool.durable.client.payload import change_text, is_strange, shortened
from steadypool.durable.client.sameness import as_it_was, is_same, sure_types
from steadypool.durable.engine.notes import MOST_BYTES
from steadypool.model.errors import CheckpointRefused

SHOWN = 80
"""Characters of a state in a message."""


class StateType:
    """Encodes and decodes the states of one task. It travels to where jobs run.

    Args:
        task: its name, for messages.
        hint: the type of the states.

    Raises:
        TypeError: JSON cannot carry it.
    """

    def __init__(self, task: str, hint: Any) -> None:
        self._task, self._hint = task, hint
        try:
            strange = is_strange(msgspec.inspect.type_info(hint))
            self._decoder = msgspec.json.Decoder(as_it_was(hint), dec_hook=models.decode)
        except Exception:
            strange = True
        if strange:
            raise TypeError(
                f"{task}: checkpoint={hint!r} is no type that can be stored; there are int, str, datetime, UUID, "
                "dataclasses, and the other types that arguments may have"
            )
        self._encoder = msgspec.json.Encoder(enc_hook=models.encode)
        self._sure = sure_types(hint)

    def __reduce__(self) -> Any:
        return StateType, (self._task, self._hint)

    def encode(self, state: object) -> bytes:
        """The state as JSON.

        Raises:
            CheckpointRefused: it is of another type, or too large.
        """
        try:
            encoded = self._encoder.encode(state)
            if len(encoded) > MOST_BYTES:
                raise CheckpointRefused(
                    f"{self._task}: the state has {len(encoded):,} bytes of JSON, and may have {MOST_BYTES:,}: save "
                    "where to go on, and keep what belongs to it elsewhere"
                )
            if type(state) not in self._sure and not is_same(read := self._decoder.decode(encoded), state):
                raise CheckpointRefused(f"{self._text}: {change_text(read, state)}")
        except CheckpointRefused:
            raise
        except Exception as error:
            raise CheckpointRefused(f"{self._text}: {error}; got {shortened(state)}") from None
        return encoded

    @property
    def _text(self) -> str:
        return f"{self._task} has checkpoint={self._name}, and a state must be of that type"

    @property
    def _name(self) -> str:
        return self._hint.__qualname__ if type(self._hint) is type else str(self._hint)

    def decode(self, encoded: bytes) -> Any:
        """The state again.

        Raises:
            CheckpointRefused: it is none of that type: another version of the task has saved it.
        """
        try:
            return self._decoder.decode(encoded)
        except Exception as error:
            text = encoded.decode(errors="replace")
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
            raise CheckpointRefused(
                f"{self._task} has checkpoint={self._name}, and its last run has saved {shown}, which is none: {error}"
            ) from None
