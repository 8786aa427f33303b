"""Putting jobs on a connection that the caller brings, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steadypool.durable.address import PostgresAddress
from steadypool.durable.records import NewJob, Placed


def put(connection: Any, address: PostgresAddress, jobs: Sequence[NewJob]) -> list[Placed]:
    raise NotImplementedError


async def put_async(connection: Any, address: PostgresAddress, jobs: Sequence[NewJob]) -> list[Placed]:
    raise NotImplementedError
