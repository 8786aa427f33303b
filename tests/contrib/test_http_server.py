"""Who can reach an address, and by which names."""

from __future__ import annotations

from steadypool.contrib.http_server import is_loopback, is_rebound


def test_which_addresses_are_this_machine_s() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", "", "localhost.example")))


def test_which_names_of_this_machine_are_another_s() -> None:
    for name in ("127.0.0.1.example", "evil.example", "127.evil.example:80", "", "[2001:db8::1]:80"):
        assert is_rebound("127.0.0.1", name) and is_rebound("localhost", name), name
        assert not is_rebound("0.0.0.0", name)
    assert not any(is_rebound("127.0.0.1", name) for name in ("localhost:8080", "LOCALHOST", "127.0.0.1", "[::1]:80"))
