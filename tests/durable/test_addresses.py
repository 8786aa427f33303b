"""What an address says, and what is said of one that is none, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadypool import Queue
from steadypool.durable.engine.url import parse_postgres, parse_sqlite


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://jobs.db", "three before a relative path"),
        ("sqlite://", "three before a relative path"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////var/lib/", "names no file"),
        ("sqlite:///a%00.db", "character 0"),
        ("sqlite:///a.db?timeout=5", "'timeout'"),
        ("sqlite:///a.db?synchronous=OFF", "FULL, NORMAL"),
        ("postgresql://h:abc/d", "the port"),
        ("postgresql://h:0/d", "the port"),
        ("postgresql://h:70000/d", "the port"),
        ("postgresql:///d?host=a,b,c&port=1,2", "3 hosts"),
        ("postgresql://h/d?schema=Jobs", "lower-case"),
        ("postgresql://h/d?schema=user", "a word of SQL"),
        ("postgresql://h/d?schema=pg_jobs", "PostgreSQL's own"),
        ("postgresql://h/d?colour=red", "colour"),
        ("postgresql://h/d?sslmode", "separator"),
        ("postgresql://h/d?sslmode=perhaps", "verify-full"),
        ("postgresql://h/d?target_session_attrs=best", "read-write"),
        ("postgresql://h/d?connect_timeout=soon", "seconds"),
        ("postgresql://h/%zz", "percent-encoded"),
        ("postgresql://[::1/d", "IPv6"),
        ("postgresql://u:secret@h:x/d", "the port"),
        ("mysql://h/d", "no engine"),
        ("jobs.db", "looks like"),
    ],
)
def test_an_address_that_is_none_is_refused_when_the_queue_is_made(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as raised:
        Queue(url)
    assert "secret" not in str(raised.value)


def test_the_environment_s_address_is_checked_when_it_is_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEADYPOOL_URL", "sqlite://jobs.db")
    queue = Queue()
    with pytest.raises(ValueError, match="three before"):
        queue.stats()


@pytest.mark.parametrize("name", ["a#b.db", "a b.db", "a+b.db", "ä.db", "a%20b.db", "a?b.db", "a&b=c.db"])
def test_a_file_s_name_is_what_was_meant(tmp_path: Path, name: str) -> None:
    written = name.replace("%", "%25").replace("?", "%3F")
    with Queue(f"sqlite:///{tmp_path}/{written}?synchronous=NORMAL") as queue:
        queue.engine.migrate()
        assert (tmp_path / name).is_file()
        assert parse_sqlite(queue.engine.url).path == str(tmp_path / name)


def test_what_libpq_knows_arrives_as_it_was_written() -> None:
    address = parse_postgres(
        "postgresql://me:p%40%3a%2F%23%25+?&w@h1:5433,[::1]:5434/my%20db?application_name=my%20app&schema=jobs"
        "&sslrootcert=/my%20certs/ca+1.pem&options=-c%20statement_timeout%3D5000%20-c%20geqo%3Doff"
    )
    assert address.parameters == {
        "user": "me",
        "password": "p@:/#%+?&w",
        "host": "h1,::1",
        "port": "5433,5434",
        "dbname": "my db",
        "application_name": "my app",
        "sslrootcert": "/my certs/ca+1.pem",
        "options": "-c statement_timeout=5000 -c geqo=off",
    }
    assert address.url == "postgresql://me@h1:5433,[::1]:5434/my%20db?schema=jobs"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@h1:5433,h2:5434/jobs",
        "postgresql://%2Frun%2Fpg/jobs",
        "postgresql:///jobs?host=/run/pg,/run/pg2&port=5433,5434",
        "postgresql:///jobs?service=mine",
        "postgresql://a,b:5433/jobs?schema=other",
        "postgresql://me%40there@[fe80::1]:5433/a%23b%2Fc",
        "postgresql://h?schema=other",
    ],
)
def test_the_address_without_its_password_leads_to_the_same_place(url: str) -> None:
    address = parse_postgres(url)
    again = parse_postgres(address.url)
    where = ("host", "port", "dbname", "user", "service")
    assert [again.parameters.get(name) or None for name in where] == [
        address.parameters.get(name) or None for name in where
    ] or again.parameters["port"] == "5433,5433"
    assert again.schema == address.schema
