"""More of `app`'s tasks, whose arguments are models: apart, since pydantic takes its time to be imported."""

from __future__ import annotations

from pydantic import BaseModel

from tests.durable.app import queue


class Item(BaseModel):
    price: int
    count: int = 1


@queue.task
async def total(items: dict[str, list[Item]]) -> Item:
    return Item(price=sum(item.price * item.count for some in items.values() for item in some))
