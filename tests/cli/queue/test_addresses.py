"""Which database the commands work on that are given a queue, or a task, and an address."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from steadypool import Queue
from tests.cli.program import Program

APP = """
    from steadypool import Queue
    own, free = Queue("sqlite:///own.db?synchronous=NORMAL"), Queue()
    @own.task
    def add(one: int) -> int: return one
    @free.task
    def double(one: int) -> int: return 2 * one
"""


@pytest.fixture
def shop(tmp_path: Path, program: Program) -> Program:
    (program.folder / "shop.py").write_text(textwrap.dedent(APP))
    return program


@pytest.mark.parametrize("command", [("work", "shop:own", "--until-empty"), ("enqueue", "shop:add", "[1]")])
def test_another_address_than_the_queues_own_is_refused(shop: Program, command: tuple[str, ...]) -> None:
    ended = shop.run(*command, "--url", "sqlite:///other.db")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "an address of its own, sqlite:///" in ended.err and "own.db" in ended.err and "other.db" in ended.err
    assert not list(shop.folder.glob("*.db"))


def test_the_same_address_is_not(shop: Program) -> None:
    assert shop.run("enqueue", "shop:add", "[1]", "--url", f"sqlite:///{shop.folder}/own.db").code == 0
    worked = shop.run("work", "shop:own", "--kind", "thread", "--until-empty", "--url", "sqlite:///./own.db")
    assert worked.code == 0 and "1 completed" in worked.err


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_queue_without_one_takes_that_of_the_command_line(shop: Program, kind: str) -> None:
    env = {"STEADYPOOL_URL": "sqlite:///env.db"}
    given = ("--url", "sqlite:///given.db")
    assert shop.run("enqueue", "shop:double", "[1]", *given, env=env).code == 0
    assert "1 completed" in shop.run("work", "shop:free", "--kind", kind, "--until-empty", *given, env=env).err
    assert not (shop.folder / "env.db").exists()
    shop.run("enqueue", "shop:double", "[1]", env=env)
    assert (shop.folder / "env.db").exists(), "without --url it is the environment's"


def test_the_environment_is_only_for_queues_without_one(shop: Program) -> None:
    shop.run("enqueue", "shop:add", "[1]", env={"STEADYPOOL_URL": "sqlite:///env.db"})
    assert [path.name for path in shop.folder.glob("*.db")] == ["own.db"]


def test_use_address(tmp_path: Path) -> None:
    one, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other"))
    queue = Queue(one)
    queue.use_address(f"{one}?synchronous=NORMAL")
    with pytest.raises(ValueError, match=r"an address of its own, .*one\.db, and cannot have another, .*other\.db"):
        queue.use_address(other)
    assert queue.url == one


def test_use_address_of_a_queue_that_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other"))
    monkeypatch.setenv("STEADYPOOL_URL", one)
    with Queue() as queue:
        queue.engine.migrate()
        with pytest.raises(ValueError, match="cannot have another"):
            queue.use_address(other)
    queue.use_address(other)
    assert queue.url == other, "closed, it may go elsewhere"


def test_postgres_addresses_are_told_apart_without_their_passwords() -> None:
    queue = Queue("postgresql://me:secret@db/shop")
    queue.use_address("postgresql://me:other@db/shop?sslmode=require")
    with pytest.raises(ValueError) as refused:
        queue.use_address("postgresql://me:secret@db/crm")
    assert "secret" not in str(refused.value) and "db/crm" in str(refused.value)
