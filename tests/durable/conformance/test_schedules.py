"""Schedules, as an engine keeps them: a row is changed, and its jobs put, only if it is as it was read."""

from __future__ import annotations

import threading

import pytest

from steadypool.durable.engine.protocol import Engine
from steadypool.durable.engine.records import JobFilter, NewJob
from steadypool.durable.engine.schedules import Firing, NewSchedule

from .steps import complete, put, take, worker

JOB = NewJob("app.work", b"{}")


def keep(engine: Engine, name: str = "nightly", due: float = -10.0, **more: object) -> NewSchedule:
    """A schedule that is due so many seconds from now."""
    values = {"in_code": False, "definition": "{}", "job": "{}", "hash": "h", **more}
    new = NewSchedule(name, due=round(engine.now() + due, 3), **values)  # type: ignore[arg-type]
    assert engine.schedules.put(new) == "made"
    return new


def firing(new: NewSchedule, *ids: str, **more: object) -> Firing:
    jobs = tuple(JOB._replace(id=one) for one in ids)
    return Firing(new.name, new.due, new.hash, new.due + 60, new.due, jobs)._replace(**more)


def ids_of(engine: Engine) -> set[str]:
    return {record.id for record in engine.list(JobFilter())}


def test_what_is_due_comes_first_and_the_rest_says_when(engine: Engine) -> None:
    later, first, second = keep(engine, "later", 100.0), keep(engine, "first", -20.0), keep(engine, "second", -10.0)
    due = engine.schedules.due([], 10)
    assert [row.name for row in due.rows] == ["first", "second"] and 0 < (due.next_in or 0.0) < 101.0
    assert [row.name for row in engine.schedules.due([], 1).rows] == ["first"]
    assert engine.schedules.due([], 1).next_in == 0.0
    assert [row.name for row in engine.schedules.due([], 10, 1).rows] == ["second"]
    assert (due.rows[0].due, due.rows[0].hash) == (first.due, "h")
    assert engine.schedules.due([], 10, 2).rows == () and later.due - due.now == pytest.approx(due.next_in or 0.0)
    assert [row.name for row in engine.schedules.get(["second", "none"])] == [second.name]
    assert [row.name for row in engine.schedules.page("", 2)] == ["first", "later"]
    assert [row.name for row in engine.schedules.page("later", 2)] == ["second"]


def test_those_in_code_are_due_for_those_who_declare_them(engine: Engine) -> None:
    keep(engine, "mine", in_code=True, app="one")
    assert engine.schedules.due([], 10).rows == () and engine.schedules.due([], 10).next_in is None
    assert [row.name for row in engine.schedules.due(["mine", "other"], 10).rows] == ["mine"]
    assert [row.name for row in engine.schedules.page("", 9, in_code=True)] == ["mine"]


def test_a_tick_is_put_once(engine: Engine) -> None:
    new = keep(engine)
    [done] = engine.schedules.fire([firing(new, "one", "two")])
    assert done == ("nightly", ("one", "two"), ())
    assert engine.schedules.fire([firing(new, "one", "two")]) == []
    [row] = engine.schedules.get(["nightly"])
    assert (row.due, row.last_due, row.last_job, row.fired, row.skipped) == (new.due + 60, new.due, "two", 2, 0)
    assert ids_of(engine) == {"one", "two"}


@pytest.mark.parametrize("change", [{"due": 5.0}, {"hash": "other"}])
def test_one_that_is_not_as_it_was_read_is_left_alone(engine: Engine, change: dict[str, object]) -> None:
    new = keep(engine)
    assert engine.schedules.fire([firing(new, "one", **change)]) == []
    assert ids_of(engine) == set() and engine.schedules.get(["nightly"])[0].due == new.due


def test_of_many_threads_one_puts_each_tick(engine: Engine, open_engine: object) -> None:
    schedules = [keep(engine, f"s{number}") for number in range(40)]
    engines = [open_engine() for _ in range(4)]  # type: ignore[operator]
    won: list[str] = []

    def work(mine: Engine) -> None:
        for start in range(0, 40, 10):
            batch = [firing(new, f"job of {new.name}") for new in schedules[start : start + 10]]
            won.extend(one.name for one in mine.schedules.fire(batch))

    threads = [threading.Thread(target=work, args=(one,)) for one in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while left := engine.schedules.due([], 100).rows:  # what two looked at in the same moment is left for the next look
        won.extend(
            one.name
            for one in engine.schedules.fire(
                [firing(schedules[0]._replace(name=r.name, due=r.due), f"job of {r.name}") for r in left]
            )
        )
    assert sorted(won) == sorted(new.name for new in schedules) and len(ids_of(engine)) == 40


def test_what_is_skipped_has_a_reason(engine: Engine) -> None:
    new = keep(engine)
    put(engine, id="taken")
    [done] = engine.schedules.fire([firing(new, "taken", skipped=3, reason="too late")])
    assert done.jobs == () and done.skips == ("too late", "taken has its id or unique key")
    [row] = engine.schedules.get(["nightly"])
    assert (row.fired, row.skipped, row.last_skip) == (0, 4, "taken has its id or unique key")
    assert row.last_skip_at is not None and row.last_job is None


def test_overlap_skips_while_the_job_before_lives_and_replaces_it(engine: Engine) -> None:
    new = keep(engine)
    engine.schedules.fire([firing(new, "one", overlap="skip")])
    second = new._replace(due=new.due + 60)
    [done] = engine.schedules.fire([firing(second, "two", overlap="skip")])
    assert done == ("nightly", (), ("overlap: one has not ended",))
    third = new._replace(due=new.due + 120)
    [done] = engine.schedules.fire([firing(third, "three", overlap="replace")])
    assert done.jobs == ("three",)
    one = engine.get("one")
    assert one is not None and one.state.value == "cancelled"
    who = worker(engine)
    engine.settle_many([complete(claim) for claim in take(engine, who)])
    fourth = new._replace(due=new.due + 180)
    assert engine.schedules.fire([firing(fourth, "four", overlap="skip")])[0].jobs == ("four",)
    assert engine.schedules.get(["nightly"])[0].skipped == 1


def test_a_paused_one_is_not_due_and_goes_on_where_it_is_told(engine: Engine) -> None:
    new = keep(engine)
    assert engine.schedules.pause("nightly", None) and not engine.schedules.pause("nightly", None)
    assert engine.schedules.due([], 10).rows == () and engine.schedules.fire([firing(new, "one")]) == []
    assert engine.schedules.put(new._replace(hash="other")) == "changed"
    [row] = engine.schedules.get(["nightly"])
    assert row.paused
    by_hand = firing(new, "by hand", hash="other", new_due=new.due, by_hand=True)
    assert engine.schedules.fire([by_hand])[0].jobs == ("by hand",)
    assert engine.schedules.get(["nightly"])[0].due == new.due
    assert engine.schedules.pause("nightly", new.due + 30) and not engine.schedules.pause("nightly", new.due)
    assert engine.schedules.get(["nightly"])[0].due == new.due + 30
    assert engine.schedules.remove("nightly") and not engine.schedules.remove("nightly")


def test_putting_one_again_leaves_what_has_not_changed(engine: Engine) -> None:
    new = keep(engine, in_code=True, app="one")
    assert engine.schedules.put(new._replace(due=1.0)) == "same"
    assert engine.schedules.put(new._replace(hash="other", due=1.0), due=2.0) == "moved"
    assert engine.schedules.put(new._replace(hash="other", in_code=False)) == "code"
    assert engine.schedules.get(["nightly"])[0].due == new.due
    assert engine.schedules.put(new._replace(hash="other", due=5e9), due=new.due) == "changed"
    assert engine.schedules.get(["nightly"])[0][6:8] == ("other", 5e9)


def test_what_no_worker_declares_any_more_is_retired_and_comes_back(engine: Engine) -> None:
    old, kept = keep(engine, "old", in_code=True, app="one"), keep(engine, "kept", in_code=True, app="one")
    keep(engine, "of another", in_code=True, app="two")
    keep(engine, "of nobody's code")
    assert engine.schedules.seen("one", ["kept"], 60.0) == []
    assert engine.schedules.seen("one", ["kept"], -1.0) == ["old"]
    [row] = engine.schedules.get(["old"])
    assert row.retired_at is not None and engine.schedules.fire([firing(old, "one")]) == []
    assert [row.name for row in engine.schedules.due(["old", "kept"], 9).rows] != []
    assert "old" not in [row.name for row in engine.schedules.due(["old", "kept"], 9).rows]
    assert engine.schedules.put(old._replace(due=5e9)) == "changed"
    [row] = engine.schedules.get(["old"])
    assert row.retired_at is None and row.due == 5e9 and kept.due < 5e9
