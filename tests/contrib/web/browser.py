"""A headless Chromium, driven by Selenium; where there is none, the tests that want it are skipped, and say so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

PICTURES = "STEADYPOOL_TEST_PICTURES"
"""The folder that the pictures of the pages go to, if this variable names one."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser with a profile of its own, which is gone afterwards."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no chromium and chromedriver here (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    profile = mkdtemp()
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(opened)
    finally:
        opened.quit()
        shutil.rmtree(profile, ignore_errors=True)


class Browser:
    """What a test does with it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.base = ""

    def go(self, path: str) -> None:
        """Open a page below `base`."""
        self.driver.get(f"{self.base}{path}")

    def find(self, css: str) -> Any:
        """The first element, once it is there."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 20).until(lambda driver: driver.find_element("css selector", css))

    def all(self, css: str) -> list[Any]:
        """All elements that are there."""
        found: list[Any] = self.driver.find_elements("css selector", css)
        return found

    def until(self, script: str) -> Any:
        """What an expression of JavaScript is, once it is true; whatever pages come and go meanwhile."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.driver, 20, 0.05, (WebDriverException,))
        return wait.until(lambda driver: driver.execute_script(f"return {script}"))

    def click(self, css: str) -> None:
        """Click it, in one step: what moves may be replaced at any moment."""
        found = f"document.querySelector({json.dumps(css)})"
        self.until(f"{found} && ({found}.click(), true)")

    def press(self, css: str) -> None:
        """Click what leads to another page, and wait until that is there."""
        self.driver.execute_script("window.isOld = true")
        self.click(css)
        self.until("!window.isOld && document.readyState === 'complete'")

    def text(self) -> str:
        """What can be read."""
        found: str = self.driver.execute_script("return document.body.innerText")
        return found

    def complaints(self) -> list[str]:
        """What the browser has to say against the page: of its policy, of the script, of what was not found."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def see(self, width: int, dark: bool) -> None:
        """Look at it so."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {
                "features": [
                    {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                    {"name": "prefers-reduced-motion", "value": "reduce"},
                ]
            },
        )

    def picture(self, name: str) -> None:
        """Take one, if there is a folder for it."""
        folder = os.environ.get(PICTURES)
        if folder:
            import base64

            size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 2400), "scale": 1}
            taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(taken["data"]))
