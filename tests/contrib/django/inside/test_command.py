"""``manage.py steadypool``: the command line with the queue of the settings."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from shop import tasks

from tests.contrib.django.inside.conftest import PROJECT, Manage
from tests.patience import WAIT

pytestmark = pytest.mark.usefixtures("committed")


def test_commands_have_the_queue_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    result = tasks.give_back.enqueue(1, two=2)

    def said(*words: str) -> tuple[str, int]:
        with pytest.raises(SystemExit) as ended:
            call_command("steadypool", *words)
        out, err = capsys.readouterr()
        return out + err, int(str(ended.value))

    listed, code = said("jobs", "list", "--json")
    assert code == 0 and json.loads(listed)["id"] == result.id
    shown, code = said("jobs", "show", result.id)
    assert code == 0 and "shop.tasks.give_back" in shown and '"kwargs":{"two":2}' in shown
    assert said("schedules", "list")[1] == 0
    checked, code = said("migrate", "--check")
    assert code == 0 and "0 statements" in checked
    refused, code = said("work", "--lease", "0")
    assert code == 2 and "lease" in refused
    helped, code = said("work", "--help")
    assert code == 0 and "--until-empty" in helped
    unknown, code = said("jbos")
    assert code == 2 and "No such command 'jbos'" in unknown


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the database makes no difference: once is enough")
def test_a_worker_that_follows_the_files(manage: Manage) -> None:
    """``work --reload``: a file that is changed has the worker drained, and another one started."""
    module = PROJECT / "shop" / "changing.py"
    module.write_text("from shop.tasks import noop\n", encoding="utf-8")
    try:
        worker = manage.start("steadypool", "work", "--reload", PROJECT_DEBUG="1")
        assert worker.stderr is not None
        first = _ready(worker.stderr)
        _change(module)
        second = _ready(worker.stderr)
        assert first != second
        worker.send_signal(signal.SIGINT)
        assert worker.wait(WAIT) == 0
    finally:
        module.unlink()


def _ready(lines: object) -> str:
    """The process that says that it is ready."""
    for line in lines:  # type: ignore[attr-defined]
        found = re.search(r"worker '[^']*-(\d+)' is ready", line)
        if found:
            return found[1]
    raise AssertionError("the worker ended")


def _change(module: Path) -> None:
    module.write_text("from shop.tasks import noop, meaning\n", encoding="utf-8")
