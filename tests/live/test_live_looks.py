"""How the page looks and feels: contrast, widths, the keyboard; in light and dark."""

import base64
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture3d.events import Event
from gesture3d.live import videos
from gesture3d.live.teaching import write_status
from tests.live.browser import Browser, needs_chromium
from tests.live.running import moving_frames, running, untrained_run
from tests.live.test_live_keeping import address, some_clips

pytestmark = [needs_chromium, pytest.mark.slow]

PARTS = ("watch", "teach", "videos", "look")
NETWORK = "weights/variant_a-synthetic"
LEAST = 4.5  # contrast of a text
CONTRAST = """(() => {
  const parse = (text) => { const c = text.match(/[\\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c; };
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3])).concat(1);
  const part = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (e) => (e ? over(parse(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : [255, 255, 255, 1]);
  const found = [];
  const measure = (e, text, colour) => {
    const below = ground(e);
    const [high, low] = [light(over(parse(colour), below)), light(below)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), `${e.tagName}.${e.className}#${e.id} ${text}`]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const [e, text] = [walker.currentNode.parentElement, walker.currentNode.textContent.trim()];
    const is_text = text && text !== "●" && e.checkVisibility() && !e.disabled && e.tagName !== "OPTION";
    if (is_text) measure(e, text, getComputedStyle(e).color);
  }
  for (const e of document.querySelectorAll("[placeholder]")) if (e.checkVisibility()) measure(e, "", getComputedStyle(e, "::placeholder").color);
  return found;
})()"""  # noqa: E501
FOCUSED = """(() => {
  const e = document.activeElement;
  const shown = e.classList.contains("hidden-input") ? e.previousElementSibling : e;
  const inside = document.querySelector("main").contains(e);
  const name = e.id || e.getAttribute("aria-label") || e.textContent;
  return inside && [name, getComputedStyle(shown).outlineStyle];
})()"""
FILLED = """
for (const name of ["message", "recording"]) document.getElementById(name).hidden = false;
document.getElementById("message").textContent = "Another program uses the camera.";
document.getElementById("recording-text").textContent = "3 of 10.";
document.querySelector("details").open = true;
live.watch.add({label: "Turning Hand Counterclockwise", score: 0.8, start: 0, end: 1, decided: 1});
"""


def filled(server) -> None:
    """Something in every part of the page, long names among it."""
    film = videos.Video("key", "a film of our class.mp4", NETWORK, "done", None, 60.0, 60.0)
    names = ["wave", "Turning Hand Counterclockwise", "Zooming Out With Two Fingers", "x" * 40]
    film.events = [Event(name, 9.0 * n, 9.0 * n + 2, 1.0, 0.8) for n, name in enumerate(names)]
    film.thumbs = [(3.0 * n, videos.thumb(np.zeros((120, 160, 3), np.uint8))) for n in range(20)]
    server.live.videos.known["key"] = film
    found = {"way": "video", "tested": 4, "right": 3, "made": 4, "found": 4, "alarms": 1}
    found |= {"worst": {"made": "wave", "taken": "point", "times": 1, "of": 2}, "note": "A note."}
    found |= {"nothing_seconds": 8.0}
    done = {"state": "done", "network": NETWORK, "result": found, "seconds": 31}
    write_status(server.live.teaching.hidden, done)
    server.live.exporting.status = {"state": "failed", "network": NETWORK, "error": "x" * 60}


def test_every_text_can_be_read_and_everything_reached_by_the_keyboard(tmp_path) -> None:
    clips = some_clips(tmp_path / "clips")
    untrained_run(tmp_path / "runs" / "mine", "folder")
    with running(clips.root, tmp_path / "runs") as server, Browser(None) as browser:
        filled(server)
        page = browser.page
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            browser.open(address(server))
            page.evaluate(FILLED)
            for part in PARTS:
                page.click(f"#tab-{part}")
                browser.shoot(f"{part}-{scheme}")  # at both widths, nothing sticks out
                found = page.evaluate(CONTRAST)
                print(scheme, part, len(found), "texts, the least contrast", min(found))
                assert min(found)[0] >= LEAST, (scheme, min(found))
        reached = {}
        for part in PARTS:
            page.click("#tab-watch")
            for _ in range(PARTS.index(part)):
                page.keyboard.press("ArrowRight")
            order = reached[part] = []
            page.keyboard.press("Tab")
            while len(order) < 100 and (focused := page.evaluate(FOCUSED)):
                order.append(focused[0])
                assert focused[1] != "none", f"{focused[0]}: not seen that it is there"
                page.keyboard.press("Tab")
        assert reached["watch"][:2] == ["camera", "file"]
        assert {"network", "What it knows"} <= set(reached["watch"])
        expected = ["name", "Record it", "stop", "Record more", "Delete all"]
        assert reached["teach"][2:7] == expected
        assert reached["teach"][-4:] == ["train", "way", "export-network", "export"]
        assert "Delete clip-0002.avi of Nothing" in reached["teach"]
        assert reached["videos"][:3] == ["video-network", "video-file", "wave at 0:00.0"]
        assert reached["videos"][-2:] == ["Download CSV", "Download JSON"]
        assert reached["look"] == ["look-gesture", "look-clip", "look-network", "look-button"]
        assert (browser.errors, browser.console) == ([], [])


DROP = """(text) => {
  const all = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  all.items.add(new File([bytes], "our film.webm", { type: "video/webm" }));
  const event = new DragEvent("drop", { dataTransfer: all, cancelable: true });
  document.querySelector("#drop").dispatchEvent(event);
}"""


def test_a_dropped_video_has_a_timeline_to_jump_along(tmp_path, monkeypatch) -> None:
    path, finds = tmp_path / "film.webm", threading.Event()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 15.0, (160, 120))
    frames = [frame for frame, _ in moving_frames(1)]
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()

    def search(video, path, choice) -> None:
        video.seconds, video.done = 4.0, 2.0
        video.thumbs = [(second / 2, videos.thumb(frames[0])) for second in range(8)]
        video.events = [Event("wave", 2.5, 3.0, 2.8, 0.9)]
        finds.wait(60)
        video.done, video.state = 4.0, "done"

    monkeypatch.setattr(videos, "_search", search)
    with running(tmp_path / "clips") as server, Browser(None) as browser:
        browser.open(address(server))
        page, name = browser.page, "document.activeElement.textContent"
        page.click("#tab-videos")
        page.evaluate(DROP, base64.b64encode(path.read_bytes()).decode())
        page.wait_for_selector("text=“our film.webm”: searched 50 %, 1 found so far")
        page.focus("#found >> text=Stop")
        page.wait_for_timeout(1500)  # it is drawn anew meanwhile
        assert page.evaluate(name) == "Stop"
        finds.set()
        page.wait_for_selector("text=“our film.webm”: 1 gesture in 0:04.0")
        assert page.locator(".thumbs img").count() == 8
        now = "document.querySelector('#player').currentTime"
        for press, seconds in (("wave at 0:02.5", 2.5), ("Jump to 0:01.0", 1.0)):
            page.focus(f"[aria-label='{press}']")
            page.keyboard.press("Enter")
            browser.until(f"Math.abs({now} - {seconds}) < 0.9")
        for kind, part in (("CSV", "wave,2.5,3.0"), ("JSON", '"label": "wave"')):
            with page.expect_download() as download:
                page.click(f"text=Download {kind}")
            assert download.value.suggested_filename == f"events.{kind.lower()}"
            assert part in Path(download.value.path()).read_text(encoding="utf-8")
        # The same file in the place of a camera.
        page.click("#tab-watch")
        page.set_input_files("#file", str(path))
        browser.until("live.eye.delays.length > 3")
        assert page.evaluate("live.eye.kind") == "file"
        assert page.evaluate("document.querySelector('#preview.mirrored')") is None
        assert browser.errors == []
