"""What is said of a name that is not known."""

from __future__ import annotations

import pytest

from steadypool.rules.near_names import listed, near_name


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("tasks.send", "shop.tasks.send"),
        ("__main__.send", "shop.tasks.send"),
        ("shop.tasks.sedn", "shop.tasks.send"),
        ("crm.import_all", None),
    ],
)
def test_a_near_name(name: str, near: str | None) -> None:
    assert near_name(name, ["shop.tasks.send", "shop.bills.pay"]) == near


def test_a_list_of_many_names_is_short() -> None:
    assert listed(["b", "a"]) == "a, b"
    assert listed("gfedcba") == "a, b, c, d, e and 2 more"
