"""What cannot be meant is refused with exit code 2 and no traceback, before anything is done."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from steadypool.cli.queue.work import ELSEWHERE, work_command
from tests.cli.program import Program


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("work", "shop:queue", "--queue", ""), "non-empty"),
        (("work", "shop:queue", "--queue", "mail=4", "--queue", "mail=2"), "the queue 'mail' is given twice"),
        (("work", "shop:queue", "--lease", "inf"), "a day at most"),
        (("work", "shop:queue", "--lease", "nan"), "no number"),
        (("work", "shop:queue", "--drain-timeout", "nan"), "no number"),
        (("work", "shop:queue", "--until-empty", "--report", "none/report.json"), "cannot write the report"),
        (("jobs", "pause", ""), "non-empty"),
        (("jobs", "resume", ""), "non-empty"),
        (("enqueue", "shop:add", "[1]", "--wait", "nan"), "no number"),
        (("enqueue", "shop:add", "[1]", "--queue", ""), "non-empty"),
    ],
)
def test_it_is_refused(program: Program, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str) -> None:
    source = "from steadypool import Queue\nqueue = Queue()\n@queue.task\ndef add(one: int) -> int: return one\n"
    (program.folder / "shop.py").write_text(source)
    monkeypatch.setenv("STEADYPOOL_URL", f"sqlite:///{program.folder}/jobs.db")
    assert program.run("migrate").code == 0
    ended = program.run(*words)
    assert ended.code == 2 and says in ended.err and "Traceback" not in ended.err, ended.err


@pytest.mark.parametrize(("names", "here"), ELSEWHERE.items())
def test_what_an_option_of_other_workers_is_here(names: tuple[str, ...], here: str) -> None:
    for name in names:
        ended = CliRunner().invoke(work_command, ["app:queue", name, "4"])
        assert ended.exit_code == 2 and f"No such option '{name}': {here}" in ended.output
    written = {word for word in here.split() if word.startswith("--")}
    assert written <= {option for parameter in work_command.params for option in parameter.opts}


def test_an_option_that_no_worker_has() -> None:
    ended = CliRunner().invoke(work_command, ["app:queue", "--quick"])
    assert ended.exit_code == 2 and "No such option" in ended.output and "--quiet" in ended.output
