"""`PostgresSchedules`: see `durable.engine.schedules`. Each call is one function of `sql/0002.sql`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from steadypool.durable.engine.errors import EngineBusy
from steadypool.durable.engine.job_json import as_object
from steadypool.durable.engine.postgres.in_schema import InSchema
from steadypool.durable.engine.postgres.session import raise_if_for_key
from steadypool.durable.engine.schedules import DueSchedules, Fired, Firing, NewSchedule, ScheduleRow

_COLUMNS = ", ".join(ScheduleRow._fields)


class PostgresSchedules(InSchema):
    """The schedules in one schema."""

    def get(self, names: Sequence[str]) -> list[ScheduleRow]:
        """See `ScheduleStore.get`."""
        return self._read("name = ANY (%s::text[]) ORDER BY name", [list(names)])

    def page(self, after: str, limit: int, *, in_code: bool = False) -> list[ScheduleRow]:
        """See `ScheduleStore.page`."""
        which = "in_code AND name > %s::text" if in_code else "name > %s::text"
        return self._read(f"{which} ORDER BY name LIMIT %s", [after, limit])

    def put(self, new: NewSchedule, due: float | None = None) -> str:
        """See `ScheduleStore.put`."""
        values = ["code" if new.in_code else "data", new.definition, new.job, new.hash, new.due, new.app, new.release]
        kinds = "%s::text, %s::text, %s::text, %s::text, %s::text, %s::float8, %s::text, %s::text, %s::float8"
        [(happened,)] = self._call(f"put_schedule({kinds})", [new.name, *values, due])
        return str(happened)

    def due(self, declared: Sequence[str], limit: int, skip: int = 0) -> DueSchedules:
        """See `ScheduleStore.due`."""
        *found, answer = self._call("due_schedules(%s::text[], %s::int, %s::int)", [list(declared), limit, skip])
        now, next_in = answer[-2:]
        return DueSchedules(now, tuple(ScheduleRow(*row[:-2]) for row in found), next_in)

    def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        """See `ScheduleStore.fire`."""
        told = [{**firing._asdict(), "jobs": list(map(as_object, firing.jobs))} for firing in firings]
        try:
            found = self._call("fire_schedules(%s::text)", [json.dumps(told, ensure_ascii=False)])
        except EngineBusy as error:
            raise_if_for_key(error, self._session.address.url)
            raise
        return [Fired(name, tuple(jobs), tuple(skips or ())) for name, jobs, skips in found]

    def pause(self, name: str, due: float | None) -> bool:
        """See `ScheduleStore.pause`."""
        [(changed,)] = self._call("pause_schedule(%s::text, %s::float8)", [name, due])
        return bool(changed)

    def remove(self, name: str) -> bool:
        """See `ScheduleStore.remove`."""
        [(was_there,)] = self._call("remove_schedule(%s::text)", [name])
        return bool(was_there)

    def seen(self, app: str, names: Sequence[str], seconds: float) -> list[str]:
        """See `ScheduleStore.seen`."""
        found = self._call("see_schedules(%s::text, %s::text[], %s::float8)", [app, list(names), seconds])
        return [name for (name,) in found]

    def _read(self, which: str, values: Sequence[Any]) -> list[ScheduleRow]:
        found = self._select(f"SELECT {_COLUMNS} FROM @.scheduled WHERE {which}", values)
        return [ScheduleRow(*row) for row in found]
