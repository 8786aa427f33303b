"""The pages in a real browser, against a real worker: every page, every action, and what it looks like.

With the variable of `browser.PICTURES` the pictures of all pages go to a folder, in three widths and both themes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steadypool import Cron, JobState, Queue, ThreadPool
from steadypool.contrib.http_server import HttpServer
from steadypool.contrib.web import WebAction, dashboard
from steadypool.contrib.web.serve import Password, server_of
from steadypool.pools.monitor import socket_dir
from steadypool.rules.limits import Allowance
from tests.contrib.web.browser import PICTURES, Browser, open_browser
from tests.contrib.web.figures import Filled, fill
from tests.contrib.web.test_actions import declare
from tests.durable import app
from tests.durable.working import Working
from tests.patience import WAIT

PASSWORD = "open sesame"
WIDTHS = (360, 800, 1440)


@pytest.fixture(scope="module")
def one_browser() -> Iterator[Browser]:
    """One for all tests here."""
    with open_browser() as browser:
        yield browser


@pytest.fixture
def told() -> list[WebAction]:
    return []


@pytest.fixture
def serve(queue: Queue, told: list[WebAction]) -> Iterator[Callable[..., str]]:
    """Serves a dashboard, and returns its address."""
    opened: list[tuple[HttpServer, threading.Thread, Any]] = []
    queue.engine.migrate()

    def start(**options: Any) -> str:
        made = dashboard(queue, access=Password(PASSWORD, "127.0.0.1", False), audit=told.append, **options)
        server = server_of(made, "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        opened.append((server, thread, made))
        return server.url

    yield start
    for server, thread, made in opened:
        server.stop()
        thread.join(WAIT)
        made.close()


@pytest.fixture
def browser(one_browser: Browser, serve: Callable[..., str]) -> Iterator[Browser]:
    """The browser, at the dashboard; what it complains of is a failure."""
    url = serve(arguments="shown", title="shop, production")
    one_browser.see(1440, dark=False)
    one_browser.base = url.replace("://", f"://steadypool:{PASSWORD.replace(' ', '%20')}@")
    one_browser.go("/")
    one_browser.base = url
    yield one_browser
    complaints = one_browser.complaints()
    one_browser.driver.get("about:blank")  # nothing of this page asks a server that has gone
    assert complaints == []


def test_every_action(browser: Browser, queue: Queue, told: list[WebAction]) -> None:
    queue.schedules.put("nightly", app.add.call(1), Cron("0 3 * * *"))
    failed = [app.odd.enqueue(2 * n).job_id for n in range(3)]
    later = [app.add.options(delay=3600).enqueue(n).job_id for n in range(4)]
    with Working(queue) as working:
        working.wait_for("JobGivenUp", 3)
        browser.go("/errors")
        assert "ValueError even" in browser.text()
        browser.go(f"/job?id={failed[0]}")
        browser.press("form[action$='/do/retry'] button")
        assert "The job runs again." in browser.text()
        working.wait_for("JobGivenUp", 4)
        browser.until("document.body.innerText.includes('discarded')")  # it has refreshed by itself
    for action, job in (("cancel", later[0]), ("discard", later[1])):
        browser.go(f"/job?id={job}")
        browser.click(f"details.menu:has(form[action$='/{action}']) summary")
        browser.press(f"form[action$='/do/{action}'] button")
        assert queue.record(job).state.value == f"{action}{'l' if action == 'cancel' else ''}ed"
    browser.go("/jobs?state=scheduled")
    assert browser.until("document.querySelector('button[value=cancel]').disabled")
    browser.click(f"input[value='{later[2]}']")
    assert browser.find("#chosen").text == "1 chosen"
    browser.press("button[value=cancel]")
    assert "Cancel 1 job?" in browser.text()
    browser.press("form[action$='/do/cancel'] button")
    assert queue.record(later[2]).state is JobState.CANCELLED
    browser.go("/jobs?state=discarded&task=odd")
    browser.press("a[href*='/confirm?action=retry']")
    assert "Retry 3 jobs?" in browser.text()
    browser.press("form[action$='/do/retry'] button")
    assert "3 jobs will run again" in browser.text()
    browser.go("/queues")
    browser.press("form[action$='/do/pause'] button")
    assert "It is paused." in browser.text() and any(row.paused for row in queue.stats().queues)
    browser.press("form[action$='/do/resume'] button")
    declare(queue, "stripe", Allowance(running=5))
    browser.go("/limits")
    browser.click("details.menu summary")
    browser.find("input[name=running]").send_keys("2")
    browser.see(1440, dark=False)
    browser.picture("limits-set")
    browser.press("form[action$='/do/set'] button")
    assert "The limit is set." in browser.text() and "2 at a time" in browser.text()
    browser.press("form[action$='/do/reset'] button")
    browser.go("/schedules")
    browser.press("form[action$='/do/pause'] button")
    browser.press("form[action$='/do/resume'] button")
    browser.press("form[action$='/do/run'] button")
    assert "The schedule has put this job." in browser.text()
    assert [one.action for one in told] == [
        *("retry", "cancel", "discard", "cancel", "retry", "pause", "resume", "set", "reset"),
        *("pause", "resume", "run"),
    ]
    assert {one.user for one in told} == {"steadypool"} and not any(one.error for one in told)


def test_the_keyboard_and_what_moves(browser: Browser, queue: Queue) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.go("/jobs")
    keys = ActionChains(browser.driver)
    keys.send_keys("/").perform()
    assert browser.driver.switch_to.active_element.get_attribute("name") == "task"
    keys = ActionChains(browser.driver)
    keys.send_keys("add/1" + Keys.ESCAPE).perform()
    assert browser.driver.execute_script("return document.activeElement === document.body")
    job = app.add.options(delay=60).enqueue(1).job_id
    assert browser.find(f"input[value='{job}']")  # it has come without a click
    browser.click(f"input[value='{job}']")
    app.add.options(delay=60).enqueue(2)
    seen = browser.driver.execute_script("return performance.getEntriesByType('resource').length")
    browser.until(f"performance.getEntriesByType('resource').length > {seen}")
    assert len(browser.all("input[name=id][type=checkbox]")) == 1  # what is being chosen from stays as it is


def test_without_script(browser: Browser, queue: Queue) -> None:
    job = app.add.options(delay=60).enqueue(1).job_id
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.go("/jobs")
        assert not browser.until("document.querySelector('#choose-all')").is_displayed()  # the script shows that box
        browser.click(f"input[value='{job}']")
        browser.press("button[value=cancel]")
        browser.press("form[action$='/do/cancel'] button")
        assert "1 job cancelled" in browser.text()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert queue.record(job).state is JobState.CANCELLED


@pytest.fixture
def shown(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Filled:
    """A store like one at work, and no program on the machine but this one."""
    find = socket_dir.find
    monkeypatch.setattr(
        socket_dir, "find", lambda uid: {one: at for one, at in find(uid).items() if one == os.getpid()}
    )
    return fill(queue)


def test_what_it_looks_like(shown: Filled, browser: Browser, queue: Queue) -> None:
    """In every width nothing is wider than the page, whatever the theme; and everything can be read."""
    [running] = queue.list(state="running", task="send")
    pages = {
        "overview": "/",
        "jobs": "/jobs?state=discarded",
        "filter": "/jobs?task=charge&tag=eu",
        "job": f"/job?id={shown.failed}",
        "running": f"/job?id={running.id}",
        "batch": f"/batch?id={shown.batch}",
        "confirm": "/confirm?action=retry&all=1&state=discarded",
        "sorry": "/job?id=job-4711",
        **{name: f"/{name}" for name in ("errors", "schedules", "queues", "limits", "batches", "workers", "pools")},
    }
    with ThreadPool(4, name="thumbnails_of_pages_and_pictures_for_customers", monitor=True) as pool:
        pool.submit(len, "x").result(WAIT)
        for name, path in pages.items():
            browser.go(path)
            for width in WIDTHS if PICTURES in os.environ else WIDTHS[:1]:
                for dark in (False, True):
                    browser.see(width, dark)
                    how = f"{name}-{width}-{'dark' if dark else 'light'}"
                    browser.picture(how)
                    assert browser.until("document.documentElement.scrollWidth <= innerWidth"), how
                    assert unreadable(browser) == [], how
            assert unlabelled(browser) == [], name
    browser.complaints()  # of the 404 that was asked for


CONTRAST = """
const found = [];
const light = ([r, g, b]) => {
  const part = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (text) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
};
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const colour = rgba(getComputedStyle(element).backgroundColor);
    if (colour[3] > 0.99) return colour;
  }
  return [255, 255, 255, 1];
};
for (const element of document.querySelectorAll("body *")) {
  const says = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!says || !element.checkVisibility() || element.closest(".unseen, .skip, :disabled, svg, script, style")) continue;
  const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.className} ${element.textContent.trim().slice(0, 40)}`);
}
return found;
"""
LABELS = """
const named = (e) => e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim() || e.title;
return [...document.querySelectorAll("input:not([type=hidden]), select, button, a, summary, svg[role=img], nav, pre")]
  .filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 80));
"""


def unreadable(browser: Browser) -> list[str]:
    """Texts whose contrast with what is behind them is below 4.5."""
    found: list[str] = browser.driver.execute_script(CONTRAST)
    return found


def unlabelled(browser: Browser) -> list[str]:
    """What a screen reader has no name for."""
    found: list[str] = browser.driver.execute_script(LABELS)
    return found
