"""What cannot be meant is refused with exit code 2 and no traceback, before anything is done."""

from __future__ import annotations

import pytest

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
