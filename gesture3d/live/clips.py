"""The clips that were recorded: a folder a gesture, as the data set ``folder`` reads them."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from gesture3d.data.listing import SPLIT_NAMES
from gesture3d.data.video.reading import VIDEO_SUFFIXES, open_video, read_opened
from gesture3d.data.walk import is_litter
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE
from gesture3d.files import atomic_path
from gesture3d.live.disk import FULL, check_room

LONGEST_NAME = 40
MOST_GESTURES, MOST_CLIPS = 100, 500  # clips of a gesture
MOST_BYTES = 4 << 30  # of all clips
STRIP_FRAMES, STRIP_HEIGHT = 12, 90
_ALLOWED = re.compile(r"[\w][\w \-+&'!.,()]*")


class Clips:
    """The clips below one folder; nothing outside of it is read, written or deleted.

    Names that come from the page only choose among those that are there; files are named here.

    Raises:
        Gesture3dError: by every method, in one line, what is wrong and what to do.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._one_at_a_time = threading.Lock()  # else two pages could give a clip the same name

    def listed(self) -> dict[str, list[str]]:
        """Gesture → its clips, both by their names, in order; only of those that have any."""
        found = {
            name: sorted(path.name for path in folder.iterdir() if self._is_clip(path))
            for name, folder in sorted(self._folders().items())
        }
        return {name: clips for name, clips in found.items() if clips}

    def check_new(self, name: str) -> str:
        """A gesture's name as it is kept. Raises where it cannot be one, or exists."""
        name = unicodedata.normalize("NFC", " ".join(str(name).split()))
        if not 1 <= len(name) <= LONGEST_NAME or not _ALLOWED.fullmatch(name):
            raise Gesture3dError(
                f"a gesture's name has 1 to {LONGEST_NAME} letters, digits, spaces and -+&'!.,() "
                "and begins with a letter or digit; type another one"
            )
        if name.casefold() in SPLIT_NAMES or is_litter(name) or name.endswith("."):
            raise Gesture3dError(f"{name!r} has a meaning of its own; type another name")
        known = {other.casefold(): other for other in (*self.listed(), NO_GESTURE)}
        if name.casefold() in known:
            there = known[name.casefold()]
            raise Gesture3dError(
                f"there is {there!r} already: press its Record button to add clips, or type "
                "another name"
            )
        if len(self._folders()) >= MOST_GESTURES:
            raise Gesture3dError(f"{MOST_GESTURES} gestures are all there can be; delete one")
        return name

    def check_room(self, gesture: str) -> None:
        """Raises where no more clips may be added."""
        if len(self.listed().get(gesture, ())) >= MOST_CLIPS:
            raise Gesture3dError(f"{gesture}: {MOST_CLIPS} clips are enough; delete some first")
        used = sum(path.stat().st_size for path in self.root.glob("*/*") if path.is_file())
        if used > MOST_BYTES:
            raise Gesture3dError(f"{self.root} holds {used >> 20} MB; delete clips first")
        check_room(self.root, "record again")

    def add(self, gesture: str, frames: Sequence[np.ndarray], seconds: Sequence[float]) -> str:
        """Write a clip of RGB frames (H, W, 3), uint8, with their times; its name."""
        folder = self._folders().get(gesture)
        if folder is None:
            name = gesture if gesture == NO_GESTURE else self.check_new(gesture)
            folder = self.root / name
        self.check_room(gesture)
        length = max(seconds[-1] - seconds[0], 1e-3)
        with self._one_at_a_time:
            stems = [path.stem[5:] for path in folder.glob("clip-*.avi")]
            number = max((int(stem) for stem in stems if stem.isdecimal()), default=0) + 1
            path = folder / f"clip-{number:04d}.avi"
            write_clip(path, frames, (len(frames) - 1) / length)
        return path.name

    def path(self, gesture: str, clip: str) -> Path:
        """Of a clip that is there."""
        folder = self._folders().get(gesture)
        path = next((p for p in folder.iterdir() if p.name == clip), None) if folder else None
        if path is None or not self._is_clip(path):
            raise Gesture3dError("there is no such clip (any more); load the page again")
        return path

    def delete(self, gesture: str, clip: str | None = None) -> None:
        """A clip, or all clips of a gesture (no other files); with the last one its folder."""
        names = self.listed().get(gesture, []) if clip is None else [clip]
        paths = [self.path(gesture, name) for name in names]
        for path in paths:
            path.unlink()
        folder = self._folders().get(gesture)
        if folder is None or gesture in self.listed():
            return
        for path in folder.glob(".clip-*.avi"):  # what was being written when a server was killed
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()

    def strip(self, gesture: str, clip: str) -> bytes:
        """Frames of a clip side by side, spread over it: a JPEG, `STRIP_FRAMES` wide."""
        path = self.path(gesture, clip)
        reader = open_video(path)
        indices = np.linspace(0, reader.num_frames - 1, STRIP_FRAMES).round().astype(int)
        frames = read_opened(path, reader, indices, min(STRIP_HEIGHT, *reader.size))
        return jpeg(np.concatenate(list(frames), axis=1))

    def _folders(self) -> dict[str, Path]:
        """Class folders that really lie in the root."""
        if not self.root.is_dir():
            return {}
        inside = self.root.resolve()
        return {
            path.name: path
            for path in self.root.iterdir()
            if path.is_dir() and not is_litter(path.name) and path.resolve().parent == inside
        }

    def _is_clip(self, path: Path) -> bool:
        return (
            path.suffix.lower() in VIDEO_SUFFIXES
            and not is_litter(path.name)
            and not path.is_symlink()
            and path.is_file()
        )


def write_clip(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    """Write RGB frames as Motion JPEG, whole or not at all.

    Raises:
        Gesture3dError: it could not be written whole.
    """
    height, width = frames[0].shape[:2]
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    with atomic_path(path) as temporary:
        rate = float(np.clip(round(fps, 3), 1.0, 120.0))
        writer = cv2.VideoWriter(str(temporary), codec, rate, (width, height))
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        # OpenCV does not say when the disk is full.
        written = int(cv2.VideoCapture(str(temporary)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != len(frames):
            raise Gesture3dError(FULL.format("record again"))


def jpeg(picture: np.ndarray, quality: int = 85) -> bytes:
    """An RGB picture (H, W, 3), uint8, as JPEG."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise Gesture3dError("a picture could not be encoded")
    return data.tobytes()
