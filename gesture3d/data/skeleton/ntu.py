"""The ``.skeleton`` files of NTU RGB+D (Shahroudy et al., CVPR 2016): Kinect v2, 30 Hz.

Text, one number or row of numbers a line:

    number of frames; then for each frame
        number of bodies; then for each body
            its id and 9 more numbers (clipped edges, hands, lean, tracking state)
            number of joints: 25; then for each joint
                x y z (metres), then 9 numbers (its place in depth and colour, turn, tracking state)

Bodies come and go, and change their ids when they are lost and found again. Here they become one
or two people that are there in every frame:

- bodies are taken by the number of frames they are seen in, the longest first, then by how far
  their joints move; each goes to the first person who is seen in none of its frames, or becomes a
  new one, until there are as many as are wanted; the others (furniture, a third person) are left;
- a body with all joints at the origin is not seen;
- where a person is not seen, the joints go straight from where they were last to where they are
  next; before the first and behind the last such frame they stand still;
- a second person who is never seen has all joints at the origin.
"""

import math
from collections.abc import Iterator

import numpy as np

from gesture3d.data.numeric import is_count, shown, text_lines
from gesture3d.errors import Gesture3dError

NUM_JOINTS = 25
BODY_VALUES, JOINT_VALUES = 10, 12
MAX_BODIES = 100  # in a frame; the Kinect tracks six


def body_slots(content: bytes, where: str, num_bodies: int) -> np.ndarray:
    """Joints of a file: float64 (T, 25 · num_bodies, 3), one person after the other.

    Raises:
        Gesture3dError: damaged or of another format, with its line; nobody in any frame.
    """
    num_frames, tracks = _read_tracks(content, where)
    if not tracks:
        raise Gesture3dError(f"{where}: nobody is seen in any of its {num_frames} frames")
    order = sorted(
        tracks.values(),
        key=lambda track: (-len(track), -path_length(np.stack(list(track.values())))),
    )
    people: list[dict[int, np.ndarray]] = [{} for _ in range(num_bodies)]
    for track in order:
        person = next((p for p in people if p.keys().isdisjoint(track)), None)
        if person is not None:
            person.update(track)
    return np.concatenate([_everywhere(person, num_frames) for person in people], axis=1)


def path_length(joints: np.ndarray) -> float:
    """How far all joints (T, J, C) move together."""
    return math.fsum(np.linalg.norm(np.diff(joints, axis=0), axis=2).ravel())


def _everywhere(person: dict[int, np.ndarray], num_frames: int) -> np.ndarray:
    """Joints of every frame from those of some."""
    if not person:
        return np.zeros((num_frames, NUM_JOINTS, 3))
    frames = sorted(person)
    seen = np.stack([person[frame] for frame in frames]).reshape(len(frames), -1)
    every = np.arange(num_frames)
    filled = [np.interp(every, frames, column) for column in seen.T]
    return np.stack(filled, axis=1).reshape(num_frames, NUM_JOINTS, 3)


def _read_tracks(content: bytes, where: str) -> tuple[int, dict[str, dict[int, np.ndarray]]]:
    """The number of frames, and body id → frame → joints (25, 3), where it is seen."""
    lines = _Lines(content, where)
    num_frames = lines.count("frames", 1, 10**6)
    tracks: dict[str, dict[int, np.ndarray]] = {}
    for frame in range(num_frames):
        for _ in range(lines.count("bodies", 0, MAX_BODIES)):
            body = lines.cells(BODY_VALUES)[0]
            lines.count("joints", NUM_JOINTS, NUM_JOINTS)
            joints = np.array([lines.numbers(3, JOINT_VALUES) for _ in range(NUM_JOINTS)])
            if frame in tracks.get(body, ()):
                raise Gesture3dError(f"{lines.place}: body {shown(body)} twice in a frame")
            if joints.any():
                tracks.setdefault(body, {})[frame] = joints
    lines.end(num_frames)
    return num_frames, tracks


class _Lines:
    """The lines that are not empty, one after another; `place` is the last one's."""

    def __init__(self, content: bytes, where: str) -> None:
        self._lines: Iterator[tuple[int, str]] = enumerate(text_lines(content, where), start=1)
        self._where, self.place = where, where

    def _next(self) -> list[str] | None:
        for number, line in self._lines:
            if cells := line.split():
                self.place = f"{self._where}, line {number}"
                return cells
        return None

    def cells(self, count: int) -> list[str]:
        cells = self._next()
        if cells is None:
            raise Gesture3dError(f"{self.place}: cut off behind this line")
        if len(cells) != count:
            raise Gesture3dError(
                f"{self.place}: {len(cells)} numbers, expected {count}; damaged, or no .skeleton "
                "file of NTU RGB+D"
            )
        return cells

    def count(self, what: str, low: int, high: int) -> int:
        text = self.cells(1)[0]
        if not (is_count(text) and low <= int(text) <= high):
            allowed = f"{low}" if low == high else f"{low} to {high:,}"
            raise Gesture3dError(f"{self.place}: {shown(text)} {what}, expected {allowed}")
        return int(text)

    def numbers(self, count: int, columns: int) -> list[float]:
        cells = self.cells(columns)[:count]
        try:
            return [float(cell) for cell in cells]
        except ValueError:
            raise Gesture3dError(
                f"{self.place}: {shown(' '.join(cells))} are no three numbers"
            ) from None

    def end(self, num_frames: int) -> None:
        if self._next() is not None:
            raise Gesture3dError(f"{self.place}: goes on behind its {num_frames} frames")
