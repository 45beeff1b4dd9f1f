"""Cutting a gesture that is made again and again into clips: a clip is a movement between rests."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import cv2
import numpy as np

SIZE = (48, 36)  # pixels that motion is looked for in
BLOCK = 6  # pixels, side of the squares in it
COMPARED = 0.09  # seconds between frames that are compared
BEFORE, AFTER = 0.25, 0.2  # seconds of rest that a clip keeps
STILL = 0.35  # seconds without motion end a movement; shorter stops are part of it
SHORTEST, LONGEST = 0.3, 5.0  # seconds of a movement
LEAST = 2.5  # grey levels: less is never motion
MOST_FRAMES = 600  # that are kept: of cameras of 100 frames a second six seconds
FACTOR = 3.0  # of the motion at rest (noise, light) begins motion; half of it ends it


class Moment(NamedTuple):
    """Attributes:
    level: motion over what begins a movement: 1 and more begins one.
    moving: whether a movement goes on.
    clip: the frames and seconds of the movement that has just been found to be over.
    problem: why a movement was no clip.
    """

    level: float
    moving: bool
    clip: tuple[list[np.ndarray], list[float]] | None = None
    problem: str | None = None


class Cutter:
    """``push(frame, seconds)`` for every frame as it comes."""

    def __init__(self) -> None:
        self._frames: deque[tuple[np.ndarray, float]] = deque(maxlen=MOST_FRAMES)
        self._small: deque[tuple[np.ndarray, float]] = deque(maxlen=MOST_FRAMES)
        self._levels: deque[tuple[float, float]] = deque(maxlen=2 * MOST_FRAMES)
        self._begin: float | None = None
        self._moved = -np.inf  # when there was motion last

    def push(self, frame: np.ndarray, seconds: float) -> Moment:
        """The next frame, uint8 RGB (H, W, 3)."""
        motion = self._motion(frame, seconds)
        threshold = self._threshold(motion, seconds)
        self._frames.append((frame, seconds))
        keep = seconds - BEFORE if self._begin is None else self._begin - BEFORE
        while self._frames[0][1] < keep:
            self._frames.popleft()
        if motion > (threshold if self._begin is None else threshold / 2):
            self._moved = seconds
            self._begin = seconds if self._begin is None else self._begin
        level = motion / threshold
        if self._begin is None:
            return Moment(level, False)
        if seconds - self._begin > LONGEST:
            self._begin = None
            self._levels.clear()  # perhaps it is the light that moves: find the rest anew
            return Moment(
                level, False, problem="too long: lower your hand and keep still after each one"
            )
        if seconds - self._moved < STILL:
            return Moment(level, True)
        begin, end, self._begin = self._begin, self._moved, None
        if end - begin < SHORTEST:
            return Moment(level, False)
        part = [f for f in self._frames if begin - BEFORE <= f[1] <= end + AFTER]
        return Moment(level, False, ([f for f, _ in part], [s for _, s in part]))

    def _motion(self, frame: np.ndarray, seconds: float) -> float:
        """How much the square that changes most has changed, in grey levels."""
        grey = cv2.cvtColor(
            cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        self._small.append((grey.astype(np.float32), seconds))
        while len(self._small) > 2 and self._small[1][1] <= seconds - COMPARED:
            self._small.popleft()
        change = np.abs(self._small[-1][0] - self._small[0][0])
        squares = change.reshape(SIZE[1] // BLOCK, BLOCK, SIZE[0] // BLOCK, BLOCK).mean((1, 3))
        return float(squares.max())

    def _threshold(self, motion: float, seconds: float) -> float:
        """A multiple of the motion at rest: of the calmest fifth of the last ten seconds."""
        self._levels.append((seconds, motion))
        while self._levels[0][0] < seconds - 10.0:
            self._levels.popleft()
        rest = float(np.quantile([level for _, level in self._levels], 0.2))
        return max(FACTOR * rest, LEAST)
