"""The page in a real browser, with rendered people in front of its camera."""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gesture3d.events import NO_GESTURE, read_annotations, write_events
from gesture3d.files import PACKAGE
from gesture3d.live.clips import write_clip
from gesture3d.synthetic.folder import FPS
from tests.live import camera
from tests.live.running import running

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")

GESTURES = {"flick": "Swiping Left", "halt": "Stop Sign", "twist": "Turning Hand Clockwise"}
PERSON = 1
SHOTS = os.environ.get("GESTURE3D_SHOTS")  # a folder: screenshots are kept there


class Browser:
    """Chromium with a file for a camera, as a context; ``errors``: what the page complained of."""

    def __init__(self, capture: Path | None, allowed: bool = True) -> None:
        self.options = ["--no-sandbox"]
        if allowed:
            self.options += ["--use-fake-ui-for-media-stream"]
        if capture is not None:
            self.options += ["--use-fake-device-for-media-stream"]
            self.options += [f"--use-file-for-fake-video-capture={capture}"]
        self.size, self.errors = {"width": 1280, "height": 900}, []

    def __enter__(self):
        self._playwright = playwright.sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=CHROMIUM, args=self.options
        )
        self.page = self._browser.new_page(viewport=self.size)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())
        return self

    def __exit__(self, *_) -> None:
        self._browser.close()
        self._playwright.stop()

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


@pytest.fixture(scope="module")
def short_capture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "c.y4m"
    frames, _ = camera.perform(["Swiping Left"], PERSON, "short")
    camera.write_y4m(path, frames)
    return path


def address(server) -> str:
    return f"{server.origin}/?token=the-token"


def test_the_page_watches_and_says_what_is_wrong(tmp_path, short_capture) -> None:
    with running(tmp_path / "clips") as server, Browser(short_capture) as browser:
        page = browser.page
        browser.open(address(server))
        page.click("#camera")
        browser.until("live.eye.delays.length > 3")
        assert page.evaluate("live.eye.measured().fps") > 0
        assert (
            page.evaluate("getComputedStyle(document.querySelector('#preview')).transform")[:8]
            == "matrix(-"
        )
        # By the keyboard, from part to part; a name that is none, and trainings without clips.
        page.focus("#tab-watch")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-teach"
        assert page.is_visible("#teach")
        page.click("#train")
        browser.says("record two gestures")
        page.click("#new-gesture button")
        browser.says("Type a name")
        page.fill("#name", "../evil")
        page.click("#new-gesture button")
        browser.says("type another one")
        # A file that is no video, in the camera's place.
        (tmp_path / "no.mp4").write_bytes(b"no video")
        page.set_input_files("#file", str(tmp_path / "no.mp4"))
        browser.says("no video that this")
        # Nothing from elsewhere runs here.
        page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.evil=1\">')"
        )
        page.evaluate(
            "const script = document.createElement('script');"
            "script.text = 'window.evil = 1'; document.body.append(script)"
        )
        time.sleep(0.2)
        assert page.evaluate("window.evil") is None
        assert browser.errors == []
    assert not list(tmp_path.rglob("*.avi"))


def test_without_a_camera_the_page_says_what_to_do(tmp_path) -> None:
    with running(tmp_path / "clips") as server, Browser(None) as browser:
        browser.open(address(server))
        browser.page.click("#camera")
        browser.says("No camera was found")
        browser.says("play a file instead")


def test_where_the_camera_is_forbidden_the_page_says_how_to_allow_it(
    tmp_path, short_capture
) -> None:
    with running(tmp_path / "clips") as server, Browser(short_capture, allowed=False) as browser:
        browser.open(address(server))
        browser.page.click("#camera")
        browser.says("The browser may not use the camera")
        browser.says("allow the camera, and press “Use the camera” again")
        assert browser.page.inner_text("#empty") == "No picture yet"
        # Nothing is recorded without it, and what was said stays.
        browser.page.click("#tab-teach")
        browser.page.fill("#name", "wave")
        browser.page.click("#new-gesture button")
        browser.says("The browser may not use the camera")
        assert browser.page.is_hidden("#recording")
        assert browser.errors == []


TAKEN = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => window.free
  ? open(wanted)
  : Promise.reject(new DOMException("Could not start video source", "NotReadableError"));
"""


def test_a_camera_that_another_program_has_and_one_that_is_unplugged(
    tmp_path, short_capture
) -> None:
    with running(tmp_path / "clips") as server, Browser(short_capture) as browser:
        browser.page.add_init_script(TAKEN)
        browser.open(address(server))
        browser.page.click("#camera")
        browser.says("another program uses it. Close that program")
        assert browser.page.is_hidden("#off")
        browser.page.evaluate("window.free = true")  # it was closed
        browser.page.click("#camera")
        browser.until("live.eye.delays.length > 3")
        assert browser.page.is_hidden("#message")
        browser.page.evaluate(
            "document.querySelector('#preview').srcObject.getVideoTracks()[0].onended()"
        )
        browser.says("The camera was unplugged")
        assert browser.page.is_visible("#empty")
        browser.page.click("#camera")
        browser.until("live.eye.delays.length > 3")
        assert browser.errors == []


def test_another_page_in_the_same_browser_gets_nothing(tmp_path) -> None:
    """Even one that has found out the token."""
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "index.html").write_text("<p>evil")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "evil"))
    evil = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    attempts = {
        "read": "fetch('http://HOST/api/state?token=the-token').then(a => a.text())",
        "blind read": "fetch('http://HOST/api/state?token=the-token', {mode: 'no-cors'})",
        "change": "fetch('http://HOST/api/clips?token=the-token', {method: 'POST'})",
        "socket": "new Promise((good, bad) => { const s = new WebSocket("
        "'ws://HOST/ws?token=the-token'); s.onopen = good; s.onerror = bad; })",
        "frame": "new Promise((good, bad) => { const i = new Image(); i.onload = good; "
        "i.onerror = bad; i.src = 'http://HOST/static/icon.svg'; })",
    }
    try:
        with running(tmp_path / "clips") as server, Browser(None) as browser:
            browser.page.goto(f"http://127.0.0.1:{evil.server_address[1]}/")
            own = attempts["frame"].replace(
                "http://HOST/static/icon.svg",
                "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=",
            )
            assert browser.page.evaluate(own + ".then(() => true)")  # such a page can load pictures
            for name, script in attempts.items():
                script = script.replace("HOST", f"127.0.0.1:{server.port}")
                assert (
                    browser.page.evaluate(script + ".then(() => 'got it', () => 'no')") == "no"
                ), name
            assert server.live.visits == 0
    finally:
        evil.shutdown()


@pytest.fixture
def journey(tmp_path) -> Path:
    """A folder with the takes; GESTURE3D_JOURNEY: one that is kept, to go on where it was left."""
    folder = Path(os.environ.get("GESTURE3D_JOURNEY", tmp_path))
    folder.mkdir(exist_ok=True)
    takes = {name: ([label] * 11, 0) for name, label in GESTURES.items()}
    takes |= {"nothing": ([], 8), "mixed": ([*GESTURES.values()] * 3, 3)}
    for name, (labels, nothing) in takes.items():
        if not (folder / f"{name}.y4m").exists():
            frames, truth = camera.perform(labels, PERSON, name, nothing)
            camera.write_y4m(folder / f"{name}.y4m", frames)
            write_events(folder / f"{name}.csv", {name: truth})
            if name == "mixed":
                write_clip(folder / "mixed.avi", frames, FPS)
    return folder


@pytest.mark.slow
def test_the_whole_journey(journey) -> None:
    """Watch, teach three gestures, train, watch again, drop a video; what is measured is printed.

    GESTURE3D_SHOTS=folder pytest -m slow tests/live/test_live_page.py -n0 -s
    """
    clips, measured = journey / "clips", {}
    command = [sys.executable, str(PACKAGE.parent / "tools" / "serve.py"), "--no-browser"]
    command += ["--port", "0", "--folder", str(clips), "--runs", str(journey / "runs")]
    started = time.monotonic()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        place = re.search(r"http://\S+", server.stdout.readline())[0]
        with Browser(journey / "flick.y4m") as browser:
            launched = time.monotonic()
            browser.page.goto(place)
            measured["page after, s"] = time.monotonic() - started, time.monotonic() - launched
            browser.open(place)
            browser.page.click("#camera")
            browser.until("live.eye.firstLook")
            browser.until("document.querySelector('#bars .name').textContent", 120)
            browser.shoot("watch-shipped")
        for name in GESTURES:
            if len(list(clips.glob(f"{name}/*.avi"))) < 10:
                record(name, journey, place)
        if not list(clips.glob(f"{NO_GESTURE}/*.avi")):
            with Browser(journey / "nothing.y4m") as browser:
                browser.open(place)
                browser.page.click("#tab-teach")
                browser.page.click("#nothing button")
                browser.until("document.querySelector('#level').style.width.length > 3", 60)
                browser.until("document.querySelector('#recording').hidden", 120)
        with Browser(journey / "nothing.y4m") as browser:
            browser.open(place)
            browser.page.click("#tab-teach")
            browser.page.select_option("#way", os.environ.get("GESTURE3D_WAY", "auto"))
            begun = time.monotonic()
            browser.page.click("#train")
            browser.until("!document.querySelector('#cancel').hidden")
            browser.page.reload()  # which loses nothing
            browser.until("window.live")
            browser.page.click("#tab-teach")
            browser.until("document.querySelector('.result')", 280)
            measured["trained in, s"] = time.monotonic() - begun
            measured["result"] = browser.page.inner_text("#training")
            browser.until("!document.querySelector('#watch').hidden")  # it watches by itself
            browser.page.click("#tab-teach")
            browser.shoot("trained")
        with Browser(journey / "mixed.y4m") as browser:
            browser.open(place)
            keys = browser.page.evaluate("Array.from(document.all.network.options, o => o.value)")
            newest = next(key for key in keys if key.startswith("runs/taught"))
            browser.page.select_option("#network", newest)
            time.sleep(2)
            browser.page.click("#camera")
            browser.until("live.eye.firstLook")
            script = "live.eye.firstLook - live.eye.granted"
            measured["first answer after, s"] = browser.page.evaluate(script)
            time.sleep(min((journey / "mixed.y4m").stat().st_size / (FPS * 152_000), 75))
            measured["watching"] = browser.page.evaluate("live.eye.measured()")
            seen = browser.page.evaluate("live.watch.events.map(e => e.label)")
            measured["seen"] = seen
            browser.shoot("watch")
            browser.page.click("#tab-videos")
            browser.page.select_option("#video-network", newest)
            browser.page.set_input_files("#video-file", str(journey / "mixed.avi"))
            browser.until("document.querySelector('#found a')", 200)
            measured["in the video"] = browser.page.inner_text("#found .found").replace("\n", " ")
            measured["truth"] = read_annotations(journey / "mixed.csv")["mixed"]
            browser.shoot("video")
            browser.page.click("#tab-look")
            browser.page.click("#look-button")
            browser.until("document.querySelector('#look-picture img')", 60)
            browser.shoot("look")
            assert browser.errors == []
        for key, value in measured.items():
            print(key, value)
        assert set(GESTURES) <= set(seen)
        assert measured["watching"]["p95"] > 0
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=20)


def record(name: str, journey: Path, place: str) -> None:
    """Type the name, wait until ten clips were cut."""
    with Browser(journey / f"{name}.y4m") as browser:
        browser.open(place)
        browser.page.click("#tab-teach")
        browser.page.fill("#name", name)
        browser.page.click("#new-gesture button")
        count = f"document.querySelectorAll('[data-gesture={name}] .clip').length"
        browser.until(f"{count} >= 4", 120)
        if name == "halt":
            browser.shoot("recording")
        browser.until("document.querySelector('#recording').hidden", 180)
        browser.until(f"{count} === 10")
        assert browser.errors == []
