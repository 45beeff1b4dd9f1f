"""The hands in whole data sets of clips, found once and stored beside them.

``<folder>/<key>.npz`` is a `HandTrack` of every frame of a clip, ``hands.json`` holds the settings,
``hands.csv`` what was seen: key, class, frames, and in how many of them either hand and each one.
Frames are looked at as they are stored, also those of a mirroring camera.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from gesture3d.data.index import Index
from gesture3d.data.video.frames import ANY_FRAMES, FrameRules
from gesture3d.data.video.prepared.beside import Kept
from gesture3d.data.video.reading import VideoError, frame_seconds, open_video, read_opened
from gesture3d.files import atomic_path, write_text
from gesture3d.hands.track import LEFT, RIGHT, HandTrack
from gesture3d.hands.tracker import HandTracker
from gesture3d.hands.weights import Size

FORMAT = 1
SHORT_SIDE = 480  # larger frames are scaled down to it; joints are in pixels of those
MAX_BYTES = 1 << 30  # of a clip's frames
_FINGERS = tuple((n, n + 1) for n in range(20) if n % 4)
_BONES = (*_FINGERS, (0, 1), (0, 5), (5, 9), (9, 13), (13, 17), (0, 17))
_COLOURS = {LEFT: (255, 90, 60), RIGHT: (70, 230, 90)}


class Seen(NamedTuple):
    """In how many frames of a clip hands were seen."""

    key: str
    label: str
    frames: int
    either: int
    left: int
    right: int


def read_track(path: Path, tracker: HandTracker, rules: FrameRules = ANY_FRAMES) -> HandTrack:
    """The hands in a clip.

    Raises:
        VideoError: it cannot be decoded, or is too long to be a clip of a gesture.
    """
    return tracker.track(*_frames(path, rules))


def _frames(path: Path, rules: FrameRules = ANY_FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, H, W, 3), scaled down, and their seconds."""
    reader = open_video(path, rules=rules)
    height, width = reader.size
    side = min(SHORT_SIDE, height, width)
    size = reader.num_frames * 3 * side * side * max(height, width) // min(height, width)
    if size > MAX_BYTES:
        raise VideoError(
            path, f"{reader.num_frames:,} frames are too many for a clip of a gesture: cut it"
        )
    frames = read_opened(path, reader, None, side)
    return frames, np.fromiter(frame_seconds(reader, reader.fps or 30.0), np.float64)


def write_one(source: Path, target: Path, size: Size, *rules: str) -> None:
    """Find the hands in one clip, for `Kept`."""
    read_track(source, _tracker(size), rules).save(target)


@functools.cache
def _tracker(size: Size) -> HandTracker:
    return HandTracker(size)


def kept_joints(folder: Path, size: Size = "lite", rules: FrameRules = ANY_FRAMES) -> Kept:
    """The hands in a folder."""
    settings = {"format": FORMAT, "networks": size, "short_side": SHORT_SIDE}
    return Kept(
        "hands", folder, ".npz", settings, "hands.json", __name__, "write_one", (size, *rules)
    )


def what_is_seen(index: Index, kept: Kept) -> list[Seen]:
    """A row for each clip that has been looked at; also written to ``hands.csv``."""
    rows = []
    for clip in index.items:
        if (path := kept.path(clip)).is_file():
            seen = HandTrack.load(path).seen
            label = index.class_names[clip.label] if clip.label >= 0 else ""
            counts = [int(c) for c in (seen.any(axis=1).sum(), *seen.sum(axis=0))]
            rows.append(Seen(clip.key, label, len(seen), *counts))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([Seen._fields, *rows])
    write_text(kept.folder / "hands.csv", text.getvalue())
    return rows


def draw(frame: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """A frame, uint8 (H, W, 3), RGB, with the hands (2, 21, 2 or 3): left red, right green."""
    picture = np.ascontiguousarray(frame)
    for side, colour in _COLOURS.items():
        if np.isfinite(joints[side]).all():
            points = np.rint(joints[side, :, :2] * 16).astype(int)
            for start, end in _BONES:
                line = tuple(points[start].tolist()), tuple(points[end].tolist())
                cv2.line(picture, *line, colour, 1, cv2.LINE_AA, 4)
    return picture


def draw_clips(index: Index, kept: Kept, count: int, rules: FrameRules = ANY_FRAMES) -> Path:
    """``hands.png`` in the folder: a row of six frames for each of ``count`` clips, spread."""
    clips = [clip for clip in index.items if kept.path(clip).is_file()]
    rows = []
    for number in np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int)):
        clip = clips[number]
        (frames, _), track = _frames(clip.path, rules), HandTrack.load(kept.path(clip))
        times = np.linspace(0, len(track) - 1, 6).astype(int)
        rows.append(_row([draw(frames[time], track.joints[time]) for time in times]))
    path = kept.folder / "hands.png"
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.concatenate(rows)[..., ::-1])
    return path


def _row(pictures: Sequence[np.ndarray], width: int = 240) -> np.ndarray:
    height = max(round(pictures[0].shape[0] * width / pictures[0].shape[1]), 1)
    how = {"dsize": (width, height), "interpolation": cv2.INTER_AREA}
    return np.concatenate([cv2.resize(picture, **how) for picture in pictures], axis=1)
