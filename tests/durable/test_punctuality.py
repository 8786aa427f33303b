"""When a worker may take the jobs of others back."""

from __future__ import annotations

from steadypool.durable.worker.punctuality import GRACE, MOST_GRACES, Punctuality

LEASE, EVERY = 6.0, 2.0


def begun() -> Punctuality:
    """One that has renewed in time for a while: until 20."""
    punctuality = Punctuality(LEASE, EVERY, 0.0)
    for moment in range(2, 21, 2):
        punctuality.renewed(moment)
    return punctuality


def test_one_that_renews_in_time_judges_at_once() -> None:
    assert begun().may_sweep(21.9)


def test_one_that_has_just_begun_does_not_know_what_was_before() -> None:
    punctuality = Punctuality(LEASE, EVERY, 0.0)
    for moment in (2.0, 4.0):
        punctuality.renewed(moment)
        assert not punctuality.may_sweep(moment + 1)
    punctuality.renewed(6.0)
    assert punctuality.may_sweep(6.1)


def test_one_that_waits_for_its_own_renewal_does_not_judge() -> None:
    assert not begun().may_sweep(24.0)


def test_one_that_had_to_wait_gives_all_others_time() -> None:
    punctuality = begun()
    punctuality.renewed(32.0)
    for moment in (34.0, 36.0, 38.0):
        assert not punctuality.may_sweep(moment - 0.1)
        punctuality.renewed(moment)
    assert punctuality.may_sweep(38.1)


def test_every_lock_that_lasts_until_a_lease_has_run_out_is_noticed() -> None:
    """Of equal leases: the other was renewed just after us, or just before, when the lock began."""
    for length in (LEASE - EVERY, LEASE, 60.0):
        punctuality = begun()
        punctuality.renewed(20.0 + length)
        assert not punctuality.may_sweep(20.0 + length)


def test_who_is_always_late_judges_in_the_end() -> None:
    punctuality = begun()
    moment = 20.0
    while moment < 24.0 + GRACE * MOST_GRACES:
        moment += 4.0
        punctuality.renewed(moment)
        assert punctuality.may_sweep(moment + 1) == (moment + 1 > 24.0 + GRACE * MOST_GRACES)


def test_a_short_lease_asks_for_little_patience() -> None:
    punctuality = Punctuality(1.0, 1.0 / 3, 0.0)
    punctuality.renewed(0.9)
    assert punctuality.may_sweep(1.1)
