"""Nothing is lost: several tabs, a page that is loaded again, a connection that breaks, a server
that is killed, a disk that is full, each in a real browser."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gesture3d.events import NO_GESTURE
from gesture3d.live import visit
from gesture3d.live.clips import Clips
from gesture3d.live.server import MOST_VISITS
from gesture3d.live.teaching import LOCK, write_status
from tests.live import camera
from tests.live.browser import Browser, needs_chromium
from tests.live.running import moving_frames, running, untrained_run

pytestmark = [needs_chromium, pytest.mark.slow]

SHOWN = "document.querySelectorAll('[data-gesture={}] .clip').length"
FOCUS = "document.activeElement.getAttribute('aria-label')"


@pytest.fixture(scope="module")
def square(tmp_path_factory) -> Path:
    """A square that moves to and fro, as a camera."""
    path = tmp_path_factory.mktemp("camera") / "square.y4m"
    camera.write_y4m(path, np.stack([frame for frame, _ in moving_frames(3)]))
    return path


def some_clips(root: Path, count: int = 2) -> Clips:
    """As many of two gestures and of nothing."""
    clips, frames = Clips(root), list(moving_frames(1))
    parts = {"wave": frames[30:48], "point": frames[30:48][::-1], NO_GESTURE: frames[:18]}
    for name, part in parts.items():
        for _ in range(count):
            clips.add(name, [frame for frame, _ in part], [n / 15 for n in range(len(part))])
    return clips


def address(server) -> str:
    return f"{server.origin}/?token=the-token"


COUNTED = """
const count = document.querySelector("#count");
window.counted = [];
new MutationObserver(() => window.counted.push(count.textContent)).observe(count, { childList: true });
"""  # noqa: E501
HOLDS = """if True:
    import sys
    from pathlib import Path
    from gesture3d.files import take_lock
    lock = take_lock(Path(sys.argv[1]))
    print("held", flush=True)
    input()
"""


def teach(page) -> None:
    page.click("#tab-teach")


def test_clips_are_played_and_deleted_by_the_keyboard_and_two_tabs_agree(tmp_path) -> None:
    clips = some_clips(tmp_path / "clips", 3)
    with running(clips.root) as server, Browser(None) as browser:
        browser.open(address(server))
        page, other = browser.page, browser.page.context.new_page()
        other.goto(address(server))
        teach(page)
        browser.until(SHOWN.format("wave") + " === 3")
        page.focus("[data-gesture=wave] .play")
        picture = "document.querySelector('[data-gesture=wave] canvas').toDataURL()"
        before = page.evaluate(picture)
        page.keyboard.press("Enter")
        browser.until(f"{picture} !== {json.dumps(before)}")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == "Delete clip-0001.avi of wave"
        page.keyboard.press("Space")
        browser.until(SHOWN.format("wave") + " === 2")
        assert page.evaluate(FOCUS) is not None  # the keyboard is still among the clips
        # The other tab knows nothing of it yet, and is told; then it knows.
        other.click("#tab-teach")
        other.click("[data-gesture=wave] .delete")
        other.wait_for_selector("text=there is no such clip (any more)")
        assert other.locator("[data-gesture=wave] .clip").count() == 2
        clips.add("later", *map(list, zip(*list(moving_frames(0))[:9], strict=True)))
        other.evaluate("dispatchEvent(new Event('focus'))")
        other.wait_for_selector("[data-gesture=later] .clip")
        page.click("[data-gesture=point] >> text=Delete all")  # and yes
        browser.until(SHOWN.format("point") + " === 0")
        assert sorted(clips.listed()) == sorted(["later", "wave", NO_GESTURE])
        assert browser.errors == []


def test_a_training_is_shown_in_every_tab_from_its_begin_to_its_end(tmp_path) -> None:
    """What a training writes is written here."""
    clips = some_clips(tmp_path / "clips")
    run = untrained_run(tmp_path / "runs" / "taught-video", "folder").parent
    with running(clips.root, run.parent) as server, Browser(None) as browser:
        hidden = server.live.teaching.hidden
        hidden.mkdir(exist_ok=True)
        words = [sys.executable, "-c", HOLDS, str(hidden / LOCK)]
        held = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        held.stdout.readline()
        browser.open(address(server))
        page, other = browser.page, browser.page.context.new_page()
        other.goto(address(server))
        for tab in (page, other):
            teach(tab)
        said = {"state": "running", "step": "training", "way": "video", "run": run.name}
        said |= {"epochs": 4, "epochs_since": time.time() - 20, "since": time.time() - 30}
        rows = [{"train_loss": 1.0, "train_top1": 0.5, "validation_top1": 0.5}] * 2
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
        write_status(hidden, said)
        for tab in (page, other):
            tab.evaluate("dispatchEvent(new Event('focus'))")
            tab.wait_for_selector("text=/training, round 2 of 4 – about \\d+ s left/")
            assert tab.is_visible("#curve")
            assert tab.is_visible("#cancel")
        page.reload()
        browser.until("window.live")
        teach(page)
        browser.until("!document.querySelector('#curve').hidden")
        found = {"way": "video", "tested": 4, "right": 3, "made": 4, "found": 4}
        found |= {"alarms": 1, "nothing_seconds": 8.0}
        found |= {"worst": {"made": "wave", "taken": "point", "times": 1, "of": 2}}
        key = f"runs/{run.name}"
        write_status(hidden, {"state": "done", "network": key, "result": found, "seconds": 31})
        held.communicate(b"\n")
        for tab in (page, other):
            tab.wait_for_selector("#watch:not([hidden])")  # it watches with what was trained
            assert tab.input_value("#network") == key
            teach(tab)
            text = tab.inner_text("#training")
            assert "recognised 3 of 4 (trained by the whole picture in 31 s)" in text
            assert "“wave” for “point”, 1 of 2 times. Make them more different" in text
            assert "False alarms in 8 s of nothing: 1" in text
        assert browser.errors == []


def test_a_connection_that_breaks_ends_the_recording_and_says_so(tmp_path, square) -> None:
    with running(tmp_path / "clips") as server, Browser(square) as browser:
        browser.open(address(server))
        teach(browser.page)
        browser.page.fill("#name", "wave")
        browser.page.evaluate(COUNTED)
        browser.page.click("#new-gesture button")
        browser.until(SHOWN.format("wave") + " >= 1")
        assert browser.page.evaluate("window.counted") == ["3", "2", "1", ""]
        browser.page.evaluate("live.eye.socket.close()")
        browser.says("The connection was lost; trying again")
        assert browser.page.is_hidden("#recording")
        browser.says("The recording was broken off. What was recorded is kept")
        # Nine pages are one too many; it goes on by itself when there is a place.
        others = [server.socket() for _ in range(MOST_VISITS - 1)]
        for one in others:
            one.__enter__()
        late = browser.page.context.new_page()
        late.goto(address(server))
        late.wait_for_selector("text=Too many pages are open: close some")
        others[0].close()
        late.wait_for_selector("#message", state="hidden", timeout=20_000)
        for one in others[1:]:
            one.close()
        assert browser.errors == []


def test_one_picture_is_under_way_and_others_are_counted(tmp_path, monkeypatch, square) -> None:
    """Whatever time the server takes."""
    waiting = []

    def slowly(self, frame, seconds):
        waiting.append(seconds)
        time.sleep(0.25)
        return {"top": []}

    monkeypatch.setattr(visit.Watch, "__init__", lambda self, *_: setattr(self, "names", ()))
    monkeypatch.setattr(visit.Watch, "frame", slowly)
    with running(tmp_path / "clips") as server, Browser(square) as browser:
        browser.open(address(server))
        browser.page.click("#camera")
        browser.until("live.eye.delays.length > 12")
        found = browser.page.evaluate("live.eye.measured()")
        assert browser.page.evaluate("live.eye.serverDropped") == 0
        assert found["skipped"] > 12
        assert 250 <= found["p95"] < 1000
        assert 1 < found["fps"] <= 4
        text = browser.page.inner_text("#figures")
        assert re.search(r"answered within \d+ ms .* · \d+ of \d+ pictures left out", text), text
