"""What outlives the program, and a disk that is full: the real program, in a real browser."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gesture3d.files import PACKAGE
from tests.live import camera
from tests.live.browser import Browser, needs_chromium
from tests.live.running import moving_frames, untrained_run
from tests.live.test_live_keeping import SHOWN, some_clips, teach

pytestmark = [needs_chromium, pytest.mark.slow]


class Program:
    """The tool, on a port that stays the same."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.words = [sys.executable, str(PACKAGE.parent / "tools" / "serve.py"), "--no-browser"]
        self.words += ["--port", str(port), "--folder", str(folder / "clips")]
        self.words += ["--runs", str(folder / "runs")]
        self.environment = os.environ | {"GESTURE3D_HANDS": str(folder / "no-hands")}

    def start(self) -> str:
        """The address."""
        self.process = subprocess.Popen(
            self.words, stdout=subprocess.PIPE, text=True, env=self.environment
        )
        return re.search(r"http://\S+", self.process.stdout.readline())[0]

    def stop(self, how: int = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=20)


@contextlib.contextmanager
def program(folder: Path) -> Iterator[Program]:
    one = Program(folder)
    try:
        yield one
    finally:
        one.stop()


def test_a_program_that_is_killed_and_started_again_has_lost_nothing(tmp_path) -> None:
    """Clips, what is chosen and a training that runs; the page says what to do."""
    clips = some_clips(tmp_path / "clips")
    untrained_run(tmp_path / "runs" / "mine", "folder")
    with program(tmp_path) as tool, Browser(None) as browser:
        old, page = tool.start(), browser.page
        browser.open(old)
        page.select_option("#network", "runs/mine")
        teach(page)
        page.select_option("#way", "video")
        page.click("#train")
        page.wait_for_selector("text=/training, round/", timeout=200_000)
        tool.stop(signal.SIGKILL)
        browser.says("The connection was lost; trying again … Your clips are safe")
        new = tool.start()
        assert new != old
        browser.says("The program was started anew: open the address that it printed now")
        browser.says("Your clips are still there")
        page.goto(old)  # from the history, say
        assert page.inner_text("body").startswith("no token, or an old one; open the address that")
        browser.open(new)
        assert page.input_value("#network") == "runs/mine"
        teach(page)
        assert page.evaluate(SHOWN.format("wave")) == 2
        page.wait_for_selector("text=/training, round \\d+ of 40/")
        page.reload()
        browser.until("window.live")
        teach(page)
        page.wait_for_selector("text=/training, round \\d+ of 40/")
        page.click("#cancel")
        page.wait_for_selector("text=Cancelled. Your clips are still there.")
        assert page.is_enabled("#train")
        assert {name: len(files) for name, files in clips.listed().items()}["wave"] == 2
        assert browser.errors == []


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 100 MB at a folder."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    if (
        os.name == "nt"
        or os.geteuid() != 0
        or subprocess.run(words, capture_output=True).returncode
    ):
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """To the last byte."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    return path


def test_a_full_disk_is_said_in_the_page_and_nothing_is_lost(tmp_path) -> None:
    capture = tmp_path / "square.y4m"
    camera.write_y4m(capture, np.stack([frame for frame, _ in moving_frames(3)]))
    folder = tmp_path / "small"
    with small_disk(folder), program(folder) as tool, Browser(capture) as browser:
        some_clips(folder / "clips")
        browser.open(tool.start())
        page = browser.page
        teach(page)
        shown = SHOWN.format("circle")
        page.fill("#name", "circle")
        page.click("#new-gesture button")
        browser.until(f"{shown} >= 2")
        filler = fill(folder)
        full = "the disk is full: make room (delete clips, or files elsewhere), then"
        browser.says(f"{full} record again")
        assert page.is_hidden("#recording")
        before = page.evaluate(shown)
        assert before == len(list((folder / "clips" / "circle").iterdir())) >= 2
        page.click("#train")
        browser.says(f"{full} press Train again")
        page.click("#tab-videos")
        (tmp_path / "v.mp4").write_bytes(bytes(200_000))
        page.set_input_files("#video-file", str(tmp_path / "v.mp4"))
        browser.says(f"{full} drop the video again")
        filler.unlink()  # room is made, and it goes on
        teach(page)
        page.click("[data-gesture=circle] >> text=Record more")
        browser.until(f"{shown} > {before}")
        page.click("#stop")
        # The disk is full in the middle of a training.
        page.select_option("#way", "video")
        page.click("#train")
        page.wait_for_selector("text=/training, round/", timeout=200_000)
        filler = fill(folder)
        page.wait_for_selector(f"text={full} press Train again", timeout=200_000)
        filler.unlink()
        assert page.is_enabled("#train")
        assert page.evaluate(shown) > before
        page.click("#train")
        page.wait_for_selector("text=/training, round/", timeout=200_000)
        page.click("#cancel")
        page.wait_for_selector("text=Cancelled. Your clips are still there.")
        assert browser.errors == []
        time.sleep(1)  # it may still be writing
