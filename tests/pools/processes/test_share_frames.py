"""Tables and frames, sent once by `share`: in a file of its own, since its jobs have workers import all these."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as arrow
import pytest

from steadypool import Shared, share
from tests.pools.contract.stage import WAIT

# Importing Polars puts a handler before Python's that has system calls restarted: no Ctrl-C would end a wait from then
# on, in whatever test. This puts Python's own back.
signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))


def test_tables_and_frames(shared_pool: Any) -> None:
    numbers = np.arange(100_000.0)
    values: list[tuple[Any, Callable[[Any], float]]] = [
        (pandas.DataFrame({"a": numbers, "b": numbers}), sum_of_pandas),
        (pandas.Series(numbers), sum_of_series),
        (polars.DataFrame({"a": numbers, "b": numbers}).to_arrow(), sum_of_polars),
        (arrow.table({"a": numbers, "b": numbers}), sum_of_arrow),
        (arrow.py_buffer(numbers), sum_of_buffer),
        ({"x": numbers, "y": [numbers]}, sum_of_dict),
    ]
    for value, read in values:
        with share(value) as shared:
            assert shared.nbytes >= numbers.nbytes
            assert shared_pool.submit(read, shared).result(WAIT) == numbers.sum()
            assert read(shared) == numbers.sum()


def sum_of_pandas(shared: Shared[Any]) -> float:
    return float(shared.value["b"].sum())


def sum_of_series(shared: Shared[Any]) -> float:
    return float(shared.value.sum())


def sum_of_polars(shared: Shared[Any]) -> float:
    return float(polars.from_arrow(shared.value)["b"].sum())  # type: ignore[index]


def sum_of_arrow(shared: Shared[Any]) -> float:
    return float(shared.value["b"].to_numpy().sum())


def sum_of_buffer(shared: Shared[Any]) -> float:
    return float(np.frombuffer(shared.value, np.float64).sum())


def sum_of_dict(shared: Shared[Any]) -> float:
    return float(shared.value["y"][0].sum())


def test_a_series_that_copies_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="nothing would be shared"):
        share(polars.Series(range(100_000)))
