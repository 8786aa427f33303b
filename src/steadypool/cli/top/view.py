"""What the viewer looks at: which pool, which worker, which text. Keys and news change it; nothing here is drawn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from steadypool.cli.top.link import Notice, Said, Text
from steadypool.cli.top.rates import Rates, rates_between
from steadypool.model.clock import monotonic
from steadypool.model.monitor_messages import Ending, Question
from steadypool.model.reports import WorkerStats
from steadypool.model.snapshots import PoolSnapshot, Snapshot

NOTICE_SECONDS = 5.0
PAGE = 10
HISTORY = 30
"""So many looks are remembered."""
SILENT_SECONDS = 3.0
"""After which a program that does not answer is said to be silent."""


@dataclass(slots=True)
class Page:
    """A text that is shown in place of the workers."""

    title: str
    text: str
    again: Question | None = None
    """What to ask for a newer one."""
    top: int = 0
    """The first line shown."""


@dataclass(slots=True)
class View:
    """The state of the viewer."""

    drain_seconds: float
    snapshot: Snapshot | None = None
    rates: dict[int, Rates] = field(default_factory=dict)
    history: dict[int, deque[float]] = field(default_factory=dict)
    """How many jobs a second have ended, of late."""
    pools: dict[int, PoolSnapshot] = field(default_factory=dict)
    """Every pool that was seen, as it was last."""
    endings: dict[int, Ending] = field(default_factory=dict)
    number: int = 0
    """The pool that is looked at."""
    worker: str = ""
    """The worker that is chosen."""
    page: Page | None = None
    asks: Question | None = None
    """What is done if the answer is yes."""
    has_ended: bool = False
    """The program is gone."""
    quits: bool = False
    notice: str = ""
    notice_until: float = 0.0
    heard_at: float = field(default_factory=monotonic)
    questions: list[Question] = field(default_factory=list)
    """What is to be asked next."""

    # -- what there is to see

    @property
    def pool(self) -> PoolSnapshot | None:
        """The pool that is looked at."""
        return self.pools.get(self.number)

    @property
    def rows(self) -> list[tuple[WorkerStats, bool]]:
        """Its workers, those that are stuck first, then those that run longest; with whether each is stuck."""
        pool = self.pool
        if pool is None:
            return []
        rows = sorted(pool.stats.worker_rows, key=lambda row: (row.job_id is None, -row.running_for, row.name))
        stuck = sorted(pool.stuck_rows, key=lambda row: -row.running_for)
        return [*((row, True) for row in stuck), *((row, False) for row in rows)]

    @property
    def ending(self) -> Ending | None:
        """How the pool ended, if it said so."""
        return self.endings.get(self.number)

    @property
    def silent_for(self) -> float:
        """Seconds for which the program has not answered, if that is worth a word; else 0."""
        seconds = monotonic() - self.heard_at
        return seconds if seconds > SILENT_SECONDS and not self.has_ended else 0.0

    def choose_pool(self, name: str) -> bool:
        """Look at the pool of that name; false if there is none."""
        numbers = [number for number, pool in self.pools.items() if pool.stats.name == name]
        self.number = numbers[0] if numbers else self.number
        return bool(numbers)

    # -- news

    def hear(self, said: Said) -> None:
        """The program has said something."""
        self.heard_at = monotonic()
        match said:
            case Snapshot():
                self._take(said)
            case Ending(pool=pool, report=report):
                self.pools[pool.number] = pool
                self.endings[pool.number] = said
                self.rates.pop(pool.number, None)
                if pool.number == self.number:
                    self.asks = None
                    self.page = Page(f"pool {pool.stats.name!r} has ended", report)
            case Text():
                if self.page is not None and self.page.again is not None:
                    self.page.text = said
            case Notice():
                self.say(said)

    def _take(self, snapshot: Snapshot) -> None:
        self.rates = rates_between(self.snapshot, snapshot)
        for number, rates in self.rates.items():
            self.history.setdefault(number, deque(maxlen=HISTORY)).append(rates.ended)
        self.snapshot = snapshot
        self.pools |= {pool.number: pool for pool in snapshot.pools if pool.number not in self.endings}
        if self.number not in self.pools:
            self.number = next(iter(self.pools), 0)

    def end(self) -> None:
        """The program is gone."""
        self.has_ended = True
        self.asks = None
        self.rates.clear()
        if self.ending is None and self.page is None:
            text = "It did not say how: it was killed, or it ended without a drain.\n"
            self.page = Page("the program has ended", text)

    def say(self, text: str) -> None:
        """Show a line for a while."""
        self.notice, self.notice_until = text, monotonic() + NOTICE_SECONDS

    # -- keys

    def press(self, key: str) -> None:
        """A key was pressed."""
        if self.asks is not None:
            self._answer(self.asks, key)
        elif key in ("q", "Q"):
            self.quits = True
        elif key in ("tab", "back tab"):
            self._turn_to_pool(1 if key == "tab" else -1)
        elif key in ("d", "D"):
            self._ask_to_drain()
        elif key in ("c", "C"):
            self._ask_to_cancel()
        elif key in ("e", "E"):
            self._ask_for_errors()
        elif self.page is not None:
            self._press_on_page(self.page, key)
        else:
            self._press_on_rows(key)

    def _answer(self, asked: Question, key: str) -> None:
        self.asks = None
        if key in ("y", "Y"):
            self.questions.append(asked)
        else:
            self.say("not drained" if asked.do == "drain" else "not cancelled")

    def _ask_to_drain(self) -> None:
        if self.has_ended or self.ending is not None:
            self.say("it has ended")
        elif self.pool is not None:
            self.asks = Question("drain", self.number, seconds=self.drain_seconds)

    def _ask_to_cancel(self) -> None:
        """The job whose stack is shown, or that is chosen."""
        shown = self.page.again if self.page is not None else None
        row = self.chosen_row()
        job = shown.job if shown is not None and shown.job else row.job_id if row is not None else None
        if self.has_ended or self.ending is not None:
            self.say("it has ended")
        elif job is None:
            self.say("choose a job first, with ↑ and ↓")
        else:
            self.asks = Question("cancel", self.number, job)

    def _turn_to_pool(self, step: int) -> None:
        numbers = sorted(self.pools)
        if numbers:
            at = numbers.index(self.number) if self.number in numbers else 0
            self.number = numbers[(at + step) % len(numbers)]
            self.page = None
            if (ending := self.ending) is not None:
                self.page = Page(f"pool {ending.pool.stats.name!r} has ended", ending.report)

    def _press_on_page(self, page: Page, key: str) -> None:
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE, " ": PAGE}
        if key in steps:
            last = max(0, len(page.text.splitlines()) - 1)
            page.top = min(max(0, page.top + steps[key]), last)
        elif key in ("s", "r", "enter") and page.again and self.ending is None and not self.has_ended:
            self.questions.append(page.again)
        elif key == "escape":
            self.page = None

    def _press_on_rows(self, key: str) -> None:
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE}
        if key in steps:
            self._choose(steps[key])
        elif key in ("s", "enter"):
            if self.chosen_row() is None:
                self._choose(0)
            self._ask_for_stack()

    def _choose(self, step: int) -> None:
        """Choose another worker that runs a job."""
        names = [row.name for row, _ in self.rows if row.job_id]
        if not names:
            self.worker = ""
            return
        before = names.index(self.worker) if self.worker in names else -1 if step > 0 else 0
        self.worker = names[min(max(0, before + step), len(names) - 1)]

    def chosen_row(self) -> WorkerStats | None:
        """The row that is chosen, while it runs a job."""
        return next((row for row, _ in self.rows if row.job_id and row.name == self.worker), None)

    def _ask_for_stack(self) -> None:
        row = self.chosen_row()
        if row is None or row.job_id is None:
            self.say("no job runs now")
            return
        title = f"{row.job_id} {row.task}, after {row.running_for:.1f} s, is here"
        self._ask_for(title, Question("stack", self.number, row.job_id))

    def _ask_for_errors(self) -> None:
        if self.pool is None or not self.pool.errors:
            self.say("nothing has failed")
        elif self.has_ended or self.ending is not None:
            self.say("it has ended")
        else:
            self._ask_for(f"what has failed in pool {self.pool.stats.name!r}", Question("errors", self.number))

    def _ask_for(self, title: str, question: Question) -> None:
        self.page = Page(title, "…\n", question)
        self.questions.append(question)
