"""A clip that is a folder of frames."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from gesture3d.errors import VideoError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class FrameFolder:
    """A folder of frames, sorted by number: ``00001.jpg``, ``00002.jpg``, ..."""

    is_bgr = True

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            names = [entry.name for entry in os.scandir(path) if not entry.name.startswith(".")]
        except OSError as error:
            raise VideoError(path, error.strerror or str(error)) from None
        names = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        if not names:
            raise VideoError(path, f"has no frames ({', '.join(sorted(IMAGE_SUFFIXES))})")
        self._names = sorted(names, key=natural_key)
        self.num_frames = len(names)
        self.fps = None
        numbers = [_frame_number(name) for name in self._names]
        if None in numbers:
            return
        for name, number, expected in zip(
            self._names, numbers, range(numbers[0], numbers[0] + len(names)), strict=True
        ):
            if number != expected:
                raise VideoError(path, f"frame {expected} is missing before {name}")

    @property
    def size(self) -> tuple[int, int]:
        return self._read_image(self._names[0]).shape[:2]

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        full_size = None
        for name in (self._names[position] for position in indices.tolist()):
            frame = self._read_image(name)
            if full_size is not None and frame.shape != full_size:
                raise VideoError(
                    self.path, f"{name} is {_size(frame.shape)}, others {_size(full_size)}"
                )
            full_size = frame.shape
            yield frame

    def _read_image(self, name: str) -> np.ndarray:
        try:
            data = np.fromfile(self.path / name, np.uint8)
        except OSError as error:
            reason = error.strerror or str(error)
            raise VideoError(self.path / name, f"cannot be read: {reason}") from None
        if data.size == 0:
            raise VideoError(self.path / name, "is empty (0 bytes)")
        if name.lower().endswith((".jpg", ".jpeg")) and b"\xff\xd9" not in data[-1024:].tobytes():
            raise VideoError(self.path / name, "the JPEG is cut off")  # would decode to grey
        frame = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if frame is None:
            raise VideoError(self.path / name, "is no image that can be decoded")
        return frame


def natural_key(name: str) -> list:
    """Sort key that compares numbers in names as numbers: ``2.jpg`` before ``10.jpg``."""
    parts = re.split(r"(\d+)", name)
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts


def _frame_number(name: str) -> int | None:
    digits = re.search(r"(\d+)$", Path(name).stem)
    return int(digits[1]) if digits else None


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
