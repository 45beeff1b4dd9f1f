"""A real browser with a rendered person in front of its camera."""

import os
import shutil
import time
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")
SHOTS = os.environ.get("GESTURE3D_SHOTS")  # a folder: screenshots are kept there


class Browser:
    """Chromium with a file for a camera, as a context.

    Attributes:
        errors: what the page's code failed with.
        console: what else the browser complained of; refusals of the server are no faults.
    """

    def __init__(self, capture: Path | None, allowed: bool = True) -> None:
        self.options = ["--no-sandbox"]
        if allowed:
            self.options += ["--use-fake-ui-for-media-stream"]
        if capture is not None:
            self.options += ["--use-fake-device-for-media-stream"]
            self.options += [f"--use-file-for-fake-video-capture={capture}"]
        self.size = {"width": 1280, "height": 900}
        self.errors: list[str] = []
        self.console: list[str] = []

    def __enter__(self):
        self._playwright = playwright.sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=CHROMIUM, args=self.options
        )
        self.page = self._browser.new_context(viewport=self.size).new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("dialog", lambda dialog: dialog.accept())
        return self

    def __exit__(self, *_) -> None:
        self._browser.close()
        self._playwright.stop()

    def _note(self, said) -> None:
        if said.type in ("error", "warning") and "Failed to load resource" not in said.text:
            self.console.append(said.text)

    def until(self, script: str, seconds: float = 60.0):
        """The value of a script once it is true. (Playwright's own waiting needs eval.)"""
        end = time.monotonic() + seconds
        while not (value := self.page.evaluate(script)):
            assert time.monotonic() < end, (script, self.page.inner_text("body"), self.errors)
            time.sleep(0.05)
        return value

    def says(self, text: str) -> None:
        """Wait until the page's message has it."""
        self.until(f"document.querySelector('#message').textContent.includes('{text}')")

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.until("window.live && document.querySelector('#network').options.length > 0")

    def shoot(self, name: str) -> None:
        """Keep a screenshot, wide and as on a phone; nothing may stick out sideways."""
        for width, height in ((1280, 900), (390, 844)):
            self.page.set_viewport_size({"width": width, "height": height})
            time.sleep(0.3)
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, name
            if SHOTS:
                self.page.screenshot(path=f"{SHOTS}/{name}-{width}.png", full_page=width < 500)
        self.page.set_viewport_size(self.size)
