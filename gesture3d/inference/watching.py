"""A camera, an address or a file watched as it runs: frames at its own pace, none too late."""

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg is quiet
import cv2

from gesture3d.data.video.reading import VideoReader, open_video, timed_frames
from gesture3d.errors import Gesture3dError

WAITING_FRAMES = 8  # that have come and are not looked at yet; older ones are dropped
DEFAULT_RATE_HZ = 25.0  # of files that do not say theirs
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0)  # between attempts to open a source again; then as the last


@dataclass
class Counts:
    """How many frames came, were dropped because others came meanwhile, and how often the source
    was opened again."""

    read: int = 0
    dropped: int = 0
    reopened: int = 0


@dataclass
class Source:
    """Frames of a camera (its number), of an address (rtsp://…) or of a file, with their times.

    A thread reads at the source's pace, a file by its frame rate. Where frames are looked at more
    slowly than they come, the oldest are dropped. A camera or address that fails is opened again
    and again; a file ends.

    Attributes:
        place: as it was given.
        counts: so far.
        retries: attempts to open it again in a row; None: without end.
        say: is told, in a thread of its own, when it fails and when it is there again.
    """

    place: str
    counts: Counts = field(default_factory=Counts)
    retries: int | None = None
    say: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        self._is_camera = re.fullmatch("[0-9]{1,9}", self.place) is not None
        self._is_file = not self._is_camera and "://" not in self.place
        if self._is_file and not Path(self.place).is_file():
            raise Gesture3dError(f"{self.place}: no such file; a camera is a number, e.g. 0")
        self._waiting: deque[tuple[np.ndarray, float]] = deque(maxlen=WAITING_FRAMES)
        self._there = threading.Condition()
        self._done = False
        self._problem: Exception | None = None

    def frames(self) -> Iterator[tuple[np.ndarray, float]]:
        """(RGB uint8 (H, W, 3), seconds since the source was opened) until it ends.

        Raises:
            Gesture3dError: it cannot be opened at all; a file is damaged (what came before that
                is yielded first).
        """
        if self._is_file:
            opened, read = open_video(Path(self.place)), self._play
        else:
            opened, read = self._open(), self._watch
        if opened is None:
            raise Gesture3dError(f"{self.place}: cannot be opened; is it there, and not in use?")
        reader = threading.Thread(target=self._read, args=(read, opened), daemon=True)
        reader.start()
        try:
            while (found := self._next()) is not None:
                yield found
        finally:
            self._done = True
            reader.join(timeout=2.0)

    def _next(self) -> tuple[np.ndarray, float] | None:
        with self._there:
            while not self._waiting and not self._done:
                self._there.wait(timeout=0.1)
            if self._waiting:
                return self._waiting.popleft()
        if self._problem:
            raise self._problem
        return None

    def _open(self) -> "cv2.VideoCapture | None":
        capture = cv2.VideoCapture(int(self.place) if self._is_camera else self.place)
        return capture if capture.isOpened() else None

    def _read(self, read: Callable[[Any], None], opened: Any) -> None:
        try:
            read(opened)
        except Exception as problem:  # is raised where the frames are taken
            self._problem = problem
        with self._there:
            self._done = True
            self._there.notify()

    def _play(self, video: VideoReader) -> None:
        begin, rate_hz = time.monotonic(), video.fps or DEFAULT_RATE_HZ
        for frame, now in timed_frames(video, rate_hz):
            time.sleep(max(now - (time.monotonic() - begin), 0.0))
            if self._done:
                return
            self._add(frame, now, video.is_bgr and frame.shape[2] == 3)

    def _watch(self, capture: "cv2.VideoCapture | None") -> None:
        begin = time.monotonic()
        while not self._done and capture is not None:
            there, frame = capture.read()
            if there:
                self._add(frame, time.monotonic() - begin, is_bgr=True)
            else:
                capture.release()
                if not self._done:
                    self.say(f"{self.place}: gives no frames any more; opening it again and again")
                capture = self._reopen()

    def _add(self, frame: np.ndarray, seconds: float, is_bgr: bool) -> None:
        with self._there:
            self.counts.read += 1
            self.counts.dropped += len(self._waiting) == WAITING_FRAMES
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if is_bgr else frame.copy()
            self._waiting.append((frame, seconds))
            self._there.notify()

    def _reopen(self) -> "cv2.VideoCapture | None":
        attempt = 0
        while not self._done and (self.retries is None or attempt < self.retries):
            until = time.monotonic() + RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
            while time.monotonic() < until and not self._done:
                time.sleep(0.05)
            capture = None if self._done else self._open()
            if capture is not None:
                self.counts.reopened += 1
                self.say(f"{self.place}: opened again")
                return capture
            attempt += 1
        return None
