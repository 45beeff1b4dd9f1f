"""All that a person does with the page, in a real browser: what the README's figures come from."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gesture3d.events import NO_GESTURE, read_annotations, write_events
from gesture3d.files import PACKAGE
from gesture3d.live.clips import write_clip
from gesture3d.synthetic.folder import FPS
from tests.live import camera
from tests.live.browser import Browser, needs_chromium
from tests.live.camera import GESTURES, PERSON

pytestmark = needs_chromium


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
    """Watch, teach three gestures, train, take the network along, watch again, drop a video; what
    is measured is printed.

    GESTURE3D_SHOTS=folder pytest -m slow tests/live/test_live_journey.py -n0 -s
    """
    measured: dict[str, object] = {}
    with program(journey) as place:
        measured |= first_look(journey, place)
        for name in GESTURES:
            record(name, journey, place)
        record_nothing(journey, place)
        measured |= train(journey, place)
        measured |= watch_again(journey, place)
        measured |= look_through_a_video(journey, place)
        measured |= take_along(place)
    for key, value in measured.items():
        print(key, value)
    assert set(GESTURES) <= set(measured["seen"])
    assert measured["watching"]["p95"] > 0


@contextlib.contextmanager
def program(journey: Path) -> Iterator[str]:
    """The tool runs; its address."""
    command = [sys.executable, str(PACKAGE.parent / "tools" / "serve.py"), "--no-browser"]
    command += ["--port", "0", "--folder", str(journey / "clips"), "--runs", str(journey / "runs")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://\S+", server.stdout.readline())[0]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=20)


def first_look(journey: Path, place: str) -> dict[str, object]:
    """The page is opened while the program still loads, and the camera used at once."""
    with Browser(journey / "flick.y4m") as browser:
        begun = time.monotonic()
        browser.page.goto(place)
        found: dict[str, object] = {"page after, s": time.monotonic() - begun}
        browser.open(place)
        browser.page.click("#camera")
        browser.until("live.eye.firstLook")
        time.sleep(9)
        found["the first nine seconds"] = browser.page.evaluate("live.eye.measured()")
        browser.shoot("watch-shipped")
    return found


def record(name: str, journey: Path, place: str) -> None:
    """Type the name, wait until ten clips were cut."""
    if len(list(journey.glob(f"clips/{name}/*.avi"))) == 10:
        return  # in a journey before
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


def record_nothing(journey: Path, place: str) -> None:
    if list(journey.glob(f"clips/{NO_GESTURE}/*.avi")):
        return
    with Browser(journey / "nothing.y4m") as browser:
        browser.open(place)
        browser.page.click("#tab-teach")
        browser.page.click("#nothing button")
        browser.until("document.querySelector('#level').style.width.length > 3", 60)
        browser.until("document.querySelector('#recording').hidden", 120)


def train(journey: Path, place: str) -> dict[str, object]:
    """Until the page watches with the new network by itself; a reload in between loses nothing."""
    with Browser(journey / "nothing.y4m") as browser:
        browser.open(place)
        browser.page.click("#tab-teach")
        browser.page.select_option("#way", os.environ.get("GESTURE3D_WAY", "auto"))
        begun = time.monotonic()
        browser.page.click("#train")
        browser.until("!document.querySelector('#cancel').hidden")
        browser.page.reload()
        browser.until("window.live")
        browser.page.click("#tab-teach")
        browser.until("document.querySelector('#training .result')", 600)
        found = {"trained in, s": time.monotonic() - begun}
        browser.until("!document.querySelector('#watch').hidden")
        browser.page.click("#tab-teach")
        browser.shoot("trained")
        return found | {"result": browser.page.inner_text("#training")}


def choose_newest(browser: Browser, select: str) -> None:
    keys = browser.page.evaluate("Array.from(document.all.network.options, o => o.value)")
    newest = next(key for key in keys if key.startswith("runs/taught"))
    browser.page.select_option(select, newest)


def watch_again(journey: Path, place: str) -> dict[str, object]:
    """Nine gestures and three movements that are none."""
    with Browser(journey / "mixed.y4m") as browser:
        browser.open(place)
        choose_newest(browser, "#network")
        browser.until("document.querySelector('#bars .name').textContent === 'ready'")
        browser.page.click("#camera")
        browser.until("live.eye.firstLook")
        first = browser.page.evaluate("live.eye.firstLook - live.eye.granted")
        take = (journey / "mixed.y4m").stat().st_size / (FPS * 152_000)
        time.sleep(min(take, 75) - 4)  # then Chromium begins it anew
        found = {"first look after, s": first}
        found["watching"] = browser.page.evaluate("live.eye.measured()")
        found["seen"] = browser.page.evaluate("live.watch.events.map(e => e.label)")
        browser.shoot("watch")
        assert browser.errors == []
        return found


def look_through_a_video(journey: Path, place: str) -> dict[str, object]:
    """The same take as a file; then what the network looks at in a clip."""
    with Browser(None) as browser:
        browser.open(place)
        browser.page.click("#tab-videos")
        choose_newest(browser, "#video-network")
        browser.page.set_input_files("#video-file", str(journey / "mixed.avi"))
        browser.until("document.querySelector('#found a')", 200)
        found = {"in the video": browser.page.inner_text("#found .found").replace("\n", " ")}
        found["truth"] = read_annotations(journey / "mixed.csv")["mixed"]
        browser.shoot("video")
        browser.page.click("#tab-look")
        choose_newest(browser, "#look-network")
        browser.page.click("#look-button")
        browser.until("document.querySelector('#look-picture img')", 60)
        browser.shoot("look")
        assert browser.errors == []
        return found


def take_along(place: str) -> dict[str, object]:
    """Export the newest network; of one that reads hands the page says why it stays."""
    with Browser(None) as browser:
        browser.open(place)
        browser.page.click("#tab-teach")
        choose_newest(browser, "#export-network")
        begun = time.monotonic()
        browser.page.click("#export")
        browser.until(
            "document.querySelector('#exported .result')"
            " || document.querySelector('#message').textContent.includes('reads hands')",
            200,
        )
        said = browser.page.inner_text("#exported")
        if link := browser.page.query_selector("#exported a"):
            with browser.page.expect_download() as download:
                link.click()
            said += f" {download.value.suggested_filename}"
        return {"taken along in, s": time.monotonic() - begun, "taken along": said}
