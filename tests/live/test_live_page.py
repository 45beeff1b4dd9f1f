"""The page in a real browser, with a rendered person in front of its camera."""

import contextlib
import functools
import re
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gesture3d.live import exporting
from gesture3d.live.clips import Clips
from gesture3d.live.teaching import write_status
from tests.live import camera
from tests.live.browser import Browser, needs_chromium
from tests.live.camera import PERSON
from tests.live.running import moving_frames, running, untrained_run

pytestmark = needs_chromium


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


def test_what_cannot_be_taught_or_searched_says_what_to_do(tmp_path) -> None:
    """A name that exists, no camera, a class of one clip, a training in another tab, a file that is
    no video, a server that ends; on a phone, in the dark."""
    clips = Clips(tmp_path / "clips")
    frames, seconds = zip(*moving_frames(0), strict=True)
    for name in ("wave", "wave", "point"):
        clips.add(name, frames, seconds)
    with Browser(None) as browser, contextlib.ExitStack() as stack:
        server = stack.enter_context(running(clips.root))
        page = browser.page
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        browser.open(address(server))
        page.click("#tab-teach")
        for name, said in (("wave", "There is “wave” already"), ("constructor", "No camera")):
            page.fill("#name", name)
            page.click("#new-gesture button")
            browser.says(said)
        browser.says("play a file instead")
        page.click("#train")
        browser.says("has one clip only: record it again")
        assert page.is_hidden("#cancel")
        clips.add("point", frames, seconds)
        write_status(server.live.teaching.hidden, {"state": "starting", "since": time.time()})
        page.click("#train")
        browser.says("a training is running already: wait for it, or cancel it")
        browser.until("!document.querySelector('#cancel').hidden")
        for part in ("teach", "videos", "look", "watch"):
            page.click(f"#tab-{part}")
            assert page.evaluate("document.documentElement.scrollWidth") == 390, part
        for name, light in (("color", True), ("backgroundColor", False)):
            colour = page.evaluate(f"getComputedStyle(document.body).{name}")
            assert (sum(map(int, re.findall(r"\d+", colour)[:3])) > 380) == light, name
        (tmp_path / "no.mp4").write_bytes(b"no video")
        page.click("#tab-videos")
        page.set_input_files("#video-file", str(tmp_path / "no.mp4"))
        browser.until("document.querySelector('#found').textContent.includes('no video')")
        stack.close()
        browser.says("The connection was lost; trying again … Your clips are safe")
        assert browser.errors == []


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


def test_a_network_is_taken_along(tmp_path, monkeypatch) -> None:
    def write_at_once(self, weights: Path, kind: str) -> str:
        self.folder.mkdir(parents=True)
        self._zip(kind).write_bytes(f"{weights.parent.name} as {kind}".encode())
        return "no difference"

    monkeypatch.setattr(exporting.Exporting, "_run", write_at_once)
    monkeypatch.setattr(exporting, "NEEDED", ())
    untrained_run(tmp_path / "runs" / "mine", "folder")
    with running(tmp_path / "clips", tmp_path / "runs") as server, Browser(None) as browser:
        browser.open(address(server))
        browser.page.click("#tab-teach")
        browser.page.select_option("#export-network", "weights/deepgru_hands-synthetic")
        browser.page.click("#export")
        browser.says("this network reads hands")
        # What follows streams cannot be asked about a clip.
        offered = "Array.from(document.querySelector('#look-network').options, o => o.value)"
        assert "weights/variant_a-synthetic" in browser.page.evaluate(offered)
        assert "weights/variant_a_causal-synthetic" not in browser.page.evaluate(offered)
        assert browser.page.input_value("#look-network")
        browser.page.select_option("#export-network", "runs/mine")
        assert "Yours: wave, nod, by the whole picture (mine)" in browser.page.evaluate(
            "document.querySelector('#export-network').selectedOptions[0].textContent"
        )
        browser.page.click("#export")
        browser.until("document.querySelector('#exported a')")
        assert "Checked: no difference." in browser.page.inner_text("#exported")
        with browser.page.expect_download() as download:
            browser.page.click("#exported a")
        assert download.value.suggested_filename == "gestures-onnx.zip"
        assert Path(download.value.path()).read_text() == "mine as onnx"
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
