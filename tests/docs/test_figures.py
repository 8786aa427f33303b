"""Figures in the documents are the code's. Each stands behind a mark: ``<!-- n:MAX_GROUPS -->200 groups``."""

from __future__ import annotations

import re
import signal

import pytest

from steadypool.contrib.django import connection, job_text, queue
from steadypool.contrib.web import shown, store
from steadypool.contrib.web.pages.jobs import PASSED_OVER
from steadypool.durable.engine import notes
from steadypool.durable.worker import depths
from steadypool.model import error_text, queue_depth
from steadypool.pools.core import report_rows
from steadypool.pools.core.books import MOST_COUNTED
from steadypool.pools.core.forecast import LOOK_AGAIN
from steadypool.pools.monitor import line_server
from steadypool.pools.processes import trim
from steadypool.pools.processes.ipc import buffers, pickles, stack_request
from steadypool.primitives import arguments, error_ledger, run_times
from steadypool.rules import capacity, prefetch, respawn
from steadypool.rules.health import LOOP_PATIENCE
from steadypool.sinks.metrics import MOST_POOLS
from tests.docs.pages import PAGES, Page

MARK = re.compile(r"<!-- n:(\w+) -->")
WORDS = {1: "a", 5: "five", 10: "ten"}


def unit(seconds: float) -> str:
    """One of something, as a text says it."""
    return {1.0: "a second", 0.001: "a millisecond"}.get(seconds, f"{seconds:g} seconds")


def after_rtmin(number: int, elsewhere: int) -> str:
    """A real-time signal by its distance from the first; on a system without them, what it would be."""
    return f"`SIGRTMIN + {number - signal.SIGRTMIN if hasattr(signal, 'SIGRTMIN') else elsewhere}`"


FIGURES = {
    "ADMIN_PASSED_OVER": f"{job_text.PASSED_OVER:,} rows",
    "DJANGO_COROUTINES": f"{queue.DjangoQueue.coroutines}",
    "DJANGO_PATIENCE": unit(connection.PATIENCE),
    "WEB_LINE": f"{shown.LONGEST_LINE}",
    "WEB_MOST": f"{shown.MOST:,}",
    "WEB_PASSED_OVER": f"{PASSED_OVER:,} rows",
    "WEB_TEXT": f"{shown.LONGEST_TEXT:,}",
    "WEB_TIMEOUT": unit(store.TIMEOUT),
    "DEPTHS_FRESH": f"{depths.FRESH:g} seconds",
    "LENT_AT_LEAST": f"{capacity.lent_limit(1)}",
    "LENT_PER_WORKER": f"`{capacity.lent_limit(1000) // 1000} * max_workers`",
    "LOOK_AGAIN": f"{WORDS[round(1 / LOOK_AGAIN)]} times a second",
    "LOOK_SIGNAL": after_rtmin(stack_request.LOOK, 9),
    "LOOP_PATIENCE": unit(LOOP_PATIENCE),
    "MAX_ARGUMENTS": f"{arguments.MAX_TEXT} characters",
    "MAX_GROUPS": f"{error_ledger.MAX_GROUPS} groups",
    "MAX_JOB_IDS": f"{error_ledger.MAX_JOB_IDS} jobs",
    "MAX_TASKS": "100 tasks",
    "MAX_TEXT": f"{error_text.MAX_TEXT:,} characters",
    "MAX_UNREAD_MB": f"{line_server.MAX_UNREAD // 1024**2} MB",
    "MAX_CLIENTS": f"{line_server.MAX_CLIENTS}",
    "MOST_COUNTED": f"{MOST_COUNTED:,}",
    "MOST_DEATHS": f"{WORDS[respawn.MOST_DEATHS]} of those",
    "MOST_POOLS": f"{MOST_POOLS} pools",
    "MOST_QUEUED": f"{queue_depth.MOST_COUNTED:,}",
    "MOST_TASKS": f"{run_times.MOST_TASKS} tasks",
    "OUT_OF_BAND_KB": f"{pickles.OUT_OF_BAND // 1024} KB",
    "DEPTHS_TIMEOUT": unit(depths.TIMEOUT),
    "POOL_MB": f"{buffers.POOL_BYTES >> 20} MB",
    "PREFETCH_MOST": f"{prefetch.MOST}",
    "PREFETCH_WORTH": unit(prefetch.WORTH),
    "SAMPLE": f"{run_times.SAMPLE}",
    "STATE_BYTES": f"{notes.MOST_BYTES:,} bytes",
    "SHOWING": f"{report_rows.SHOWING} s",
    "STACK_SECONDS": f"{stack_request.STACK_SECONDS} s",
    "STACK_SIGNAL": after_rtmin(stack_request.KNOCK, 10),
    "CHUNK_MB": f"{prefetch.CHUNK_BYTES >> 20} MB",
    "BY_THEMSELVES_MS": f"{round(prefetch.BY_THEMSELVES_SECONDS * 1000)} ms",
    "SHORT_MS": f"{round(prefetch.SHORT * 1000)} ms",
    "TOGETHER_MS": f"{round(prefetch.TOGETHER_SECONDS * 1000)} ms",
    "TRIM_AFTER": unit(trim.AFTER),
    "WORTH_MEASURING": unit(run_times.WORTH_MEASURING),
}


def marked(page: Page) -> list[tuple[str, str]]:
    """The name of each mark of a page, and what stands behind it."""
    text = " ".join(page.text.split())
    return [(mark[1], text[mark.end() :]) for mark in MARK.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_marked_figure_is_the_code_s(page: Page) -> None:
    for name, text in marked(page):
        assert re.match(rf"{re.escape(FIGURES[name])}(?![\w.,]*\d)", text), (
            f"{name} is {FIGURES[name]}, not {text[:30]}"
        )


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_stands_in_the_documents(name: str) -> None:
    assert any(name == mark for page in PAGES for mark, _ in marked(page))
