"""Clips that are pictures: folders of frames (colour, or depth maps of 16 bits), animated WebP."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from gesture3d.data.video.depth import depth_to_grey, median_depth
from gesture3d.errors import VideoError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}

# How frames are to be taken: (data.modality, "" for any; data.frame_gaps; "steady" where they must
# come at a steady rate, else "").
FrameRules = tuple[str, str, str]
ANY_FRAMES: FrameRules = ("", "refuse", "")

_NUMBER = re.compile(r"\d{9,}\.\d+|\d+")  # a time in seconds, with its fraction, is one number
_DATE_TIME = re.compile(  # 2024-05-01_12-30-45.123, 20240501_123045
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_.T ]?(\d\d)[-_.:]?(\d\d)[-_.:]?(\d\d)"
    r"(?:[-_.,]?(\d{3}|\d{6}))?(?!\d)"
)
_FIRST_TIME = 10**8  # numbers from here on that lie apart are times: nobody counts so many frames


class FrameFolder:
    """A folder of frames, sorted by number: ``00001.jpg``, ``00002.jpg``, ...

    The numbers may start anywhere and lie any constant step apart, or be times. Frames of 16 bits
    are depth in mm, 0 where there is none, and become grey as `gesture3d.data.video.depth` says.
    """

    is_bgr = True
    fps = None

    def __init__(self, path: Path, rules: FrameRules = ANY_FRAMES) -> None:
        self.path = path
        self._modality, gaps, _ = rules
        try:
            names = [entry.name for entry in os.scandir(path) if not entry.name.startswith(".")]
        except OSError as error:
            raise VideoError(path, error.strerror or str(error)) from None
        names = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        if not names:
            raise VideoError(path, f"has no frames ({', '.join(sorted(IMAGE_SUFFIXES))})")
        try:
            self._names = in_order(names, gaps == "allow")
        except ValueError as error:
            raise VideoError(path, str(error)) from None
        self.num_frames = len(names)

    @property
    def size(self) -> tuple[int, int]:
        return self._read_image(self._names[0]).shape[:2]

    def seconds_of(self, position: int) -> None:
        """There is no clock."""

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        middle = None
        wanted = [self._names[position] for position in indices.tolist()]
        for name, frame in self._alike(wanted):
            if middle is None and frame.dtype != np.uint8:
                middle = self._median_depth(name, frame)
            yield frame if middle is None else depth_to_grey(frame[..., :1], middle)

    def _alike(self, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        """The frames by name, all of one size and depth of colour."""
        first = None
        for name in names:
            frame = self._read_image(name)
            first = frame if first is None else first
            if frame.shape != first.shape:
                raise VideoError(
                    self.path, f"{name} is {_size(frame.shape)}, others {_size(first.shape)}"
                )
            if frame.dtype != first.dtype:
                raise VideoError(self.path, f"{name} is {frame.dtype}, others {first.dtype}")
            yield name, frame

    def _median_depth(self, name: str, frame: np.ndarray) -> float:
        if frame.dtype != np.uint16 or (frame != frame[..., :1]).any():
            reason = f"{name} has colours of {8 * frame.itemsize} bits: convert the frames to 8"
            raise VideoError(self.path, reason)
        if self._modality not in ("", "depth"):
            raise VideoError(
                self.path,
                f"{name} has 16 bits, as maps of depth in mm have: read them with "
                "data.modality=depth, or convert them to 8 bits",
            )
        return median_depth(frame for _, frame in self._alike(self._names))

    def _read_image(self, name: str) -> np.ndarray:
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise VideoError(self.path / name, f"cannot be read: {reason}") from None
        if not data:
            raise VideoError(self.path / name, "is empty (0 bytes)")
        if name.lower().endswith((".jpg", ".jpeg")) and not has_jpeg_end(data):
            raise VideoError(self.path / name, "the JPEG is cut off")  # would decode to grey
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        try:
            frame = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # a picture of billions of pixels
            frame = None
        if frame is None:
            raise VideoError(self.path / name, "is no image that can be decoded")
        return frame


class AnimatedWebP:
    """An animated WebP, which FFmpeg does not decode; all its frames are kept."""

    is_bgr = True
    fps = None

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        try:
            _, self._frames = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # pictures of billions of pixels
            self._frames = ()
        self.num_frames, promised = len(self._frames), _count_webp_frames(data)
        if not self.num_frames or self.num_frames != promised:
            raise VideoError(
                path,
                "cut off or damaged"
                if promised is None
                else f"holds {promised} frames, but {self.num_frames} decode: damaged",
            )
        self.size = self._frames[0].shape[:2]

    def seconds_of(self, position: int) -> None:
        """There is no clock."""

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        return (self._frames[position] for position in indices.tolist())


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP that moves, by the flag in its header."""
    if path.suffix.lower() != ".webp":
        return False
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20:] and head[20] & 2)


_WEBP_CHUNKS = {b"VP8X", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}


def _count_webp_frames(data: bytes) -> int | None:
    """The frames in a WebP file's chunks; None where those do not fill it, as the header says."""
    at, frames = 12, 0
    while at + 8 <= len(data) and data[at : at + 4] in _WEBP_CHUNKS:
        frames += data[at : at + 4] == b"ANMF"
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little") + data[at + 4] % 2
    whole = at == len(data) == 8 + int.from_bytes(data[4:8], "little")
    return frames if whole else None


def in_order(names: list[str], gaps_allowed: bool = False) -> list[str]:
    """Names of frames sorted by number.

    Raises:
        ValueError: frames of two kinds (0_depth.png beside 0_rgb.png), two of one number, or
            without ``gaps_allowed`` a number that is missing. It names no path.
    """
    names = sorted(names, key=natural_key)
    kinds: dict[str, str] = {}
    rows = []
    for name in names:
        stem = _DATE_TIME.sub(_as_seconds, Path(name).stem)
        kinds.setdefault(_NUMBER.sub("0", stem).casefold(), name)
        rows.append([float(n) if "." in n else int(n) for n in _NUMBER.findall(stem)])
    if not any(rows) or len(names) == 1:
        return names
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise ValueError(f"holds frames of two kinds, {one} and {other}: a folder for each")
    order = sorted(range(len(names)), key=rows.__getitem__)
    names = [names[position] for position in order]
    columns = list(zip(*(rows[position] for position in order), strict=True))
    changing = [column for column in columns if len(set(column)) > 1]
    steps = [[b - a for a, b in pairwise(column)] for column in changing]
    double = next((k for k in range(len(names) - 1) if not any(s[k] for s in steps)), None)
    if double is not None:
        raise ValueError(f"{names[double]} and {names[double + 1]} have the same number")
    if not gaps_allowed and not any(len(set(s)) == 1 for s in steps):
        _refuse_gaps(names, changing, steps)
    return names


def _as_seconds(found: re.Match) -> str:
    """A date with its time as one number: seconds, and what of the next one is written."""
    try:
        moment = datetime(*map(int, found.groups()[:6]), tzinfo=UTC)
    except ValueError:  # it is none
        return found[0]
    return f"{int(moment.timestamp())}{found[7] or ''}"


def _refuse_gaps(names: list[str], changing: list[tuple], steps: list[list]) -> None:
    """Raise ValueError, unless the numbers are times."""
    remedy = "(data.frame_gaps=allow takes such clips)"
    if len(changing) > 1:
        raise ValueError(
            f"several numbers change from {names[0]} to {names[-1]}: a folder a clip {remedy}"
        )
    numbers, steps = changing[0], steps[0]
    if numbers[0] >= _FIRST_TIME and (isinstance(numbers[0], float) or min(steps) > 1):
        return
    step = Counter(steps).most_common(1)[0][0]
    gap = next(k for k, s in enumerate(steps) if s != step)
    missing = f"frame {numbers[gap] + step}" if str(numbers[gap]) in names[gap] else "a frame"
    raise ValueError(f"{missing} is missing before {names[gap + 1]} {remedy}")


def natural_key(name: str) -> list:
    """Sort key that compares numbers in names as numbers: ``2.jpg`` before ``10.jpg``."""
    parts = re.split(r"(\d+)", name)
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts


_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # a JPEG's, but restarts; FF 00 is data


def has_jpeg_end(data: bytes) -> bool:
    """Whether a JPEG goes on to its end marker; phones put much behind it (a second picture)."""
    if data.endswith(b"\xff\xd9"):
        return True
    position = 2
    while (found := _MARKER.search(data, position)) is not None:
        position, marker = found.end(), data[found.end() - 1]
        if marker == 0xD9:
            return True
        if marker not in (0x01, 0xD8):  # those without a length
            position += int.from_bytes(data[position : position + 2], "big")
    return False


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
