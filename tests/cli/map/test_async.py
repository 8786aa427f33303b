"""``steadypool map --kind async``: coroutine functions on the command line."""

from __future__ import annotations

import signal
import textwrap

from tests.cli.program import Program, finish

COROUTINES = """
    import asyncio, time

    async def upper(line):
        await asyncio.sleep(0)
        return line.upper()

    async def number(line):
        return int(line)

    async def hang(line):
        await asyncio.sleep(float(line))

    async def block(line):
        print("blocking", flush=True)
        time.sleep(3600)
"""


def test_results_in_order_and_errors_beside_them(program: Program) -> None:
    (program.folder / "coroutines.py").write_text(textwrap.dedent(COROUTINES))
    lines = [f"line {n}" for n in range(300)]
    ended = program.map("coroutines:upper", "--kind", "async", text="\n".join(lines) + "\n")
    assert (ended.code, ended.results) == (0, [line.upper() for line in lines])
    ended = program.map("coroutines:number", "--kind", "async", "-e", "errors.jsonl", text="1\ntwo\n3\n")
    assert (ended.code, ended.results) == (1, [1, 3])
    assert '"two"' in (program.folder / "errors.jsonl").read_text()


def test_time_limits(program: Program) -> None:
    (program.folder / "coroutines.py").write_text(textwrap.dedent(COROUTINES))
    ended = program.map("coroutines:hang", "--kind", "async", "--timeout", "0.2", text="0\n60\n")
    assert ended.code == 1 and ended.results == [None] and "JobTimeout" in ended.err


def test_a_plain_function_is_refused(program: Program) -> None:
    ended = program.map("jobs:upper", "--kind", "async", text="a\n")
    assert ended.code == 2 and "no coroutine function" in ended.err and "--kind thread" in ended.err
    assert "use --kind async" in program.map("jobs:coroutine", text="a\n").err


def test_a_job_that_holds_the_loop_does_not_hold_the_program(program: Program) -> None:
    (program.folder / "coroutines.py").write_text(textwrap.dedent(COROUTINES))
    process = program.start("map", "coroutines:block", "--kind", "async", "--drain-timeout", "0")
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write("a\n")
    process.stdin.flush()
    for line in process.stderr:
        if "blocking" in line:
            break
    process.send_signal(signal.SIGTERM)
    ended = finish(process)
    assert ended.code == 143 and "time.sleep" in ended.err
