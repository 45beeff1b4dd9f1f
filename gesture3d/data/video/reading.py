"""Decode clips: video files, folders of frames and depth maps, behind one interface.

``open_video(path)`` returns a reader with ``num_frames`` and ``frames(indices)``; `read_opened`
makes a clip of them; `frame_count` and `read_frames` are both in one call. Every reader decodes on
one thread (parallel work is one clip per thread or process) and reports every failure as a
`VideoError`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np

from gesture3d.data.video import backends, framing
from gesture3d.data.video.backends import (
    DecordVideo,
    OpenCVVideo,
    TorchcodecVideo,
    first_line,
    import_decord,
    other_decoder,
)
from gesture3d.data.video.depth import DepthClip, split_zip
from gesture3d.data.video.frames import (
    ANY_FRAMES,
    AnimatedWebP,
    FrameFolder,
    FrameRules,
    is_animated_webp,
)
from gesture3d.data.video.pixels import Pixels, bgr_to_rgb, prepare_frame
from gesture3d.errors import Gesture3dError, VideoError

Backend = Literal["auto", "opencv", "decord", "torchcodec"]

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".webm", ".mkv", ".mpg", ".mpeg"),
    *(".mts", ".m2ts", ".wmv", ".flv", ".ogv", ".gif", ".y4m", ".mjpeg", ".mjpg"),
}


MOST_KEPT = 400  # frames of SHORT_SIDE pixels, 100 MB
UNSTEADY = 0.25  # seconds
LONGEST = 50  # times as long as high, or as high as long: more is no picture of a person
View = Callable[[np.ndarray], np.ndarray]  # frame (H, W, C) → what is kept of it


class VideoReader(Protocol):
    """An opened clip.

    Attributes:
        num_frames: how many it has.
        size: (height, width) of the stored frames.
        fps: frames a second, None where nothing says it.
        is_bgr: the channels of a frame are blue, green, red.
    """

    num_frames: int
    size: tuple[int, int]
    fps: float | None
    is_bgr: bool

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Decode the frames at ``indices`` (ascending, no repeats): uint8 (H, W, 3), or (H, W, 1).

        A frame may lie in the memory of the one before it.
        """

    def seconds_of(self, position: int) -> float | None:
        """When a frame that has been read begins, by the clock of the file; None: not known."""


def frame_count(path: Path) -> int:
    """How many frames a clip has. Raises `VideoError`."""
    return open_video(path).num_frames


def read_frames(
    path: Path,
    indices: np.ndarray | list[int] | None = None,
    *,
    short_side: int | None = None,
    backend: Backend = "auto",
    pixels: Pixels = "rgb",
    rules: FrameRules = ANY_FRAMES,
) -> np.ndarray:
    """Decode frames of a video file, of a folder of numbered frames, or of a depth file.

    Args:
        indices: which frames, in any order, repeats allowed; None for all.
        short_side: scale the frames so that their short side has this many pixels.
        backend: "auto" takes OpenCV for short clips and decord for long ones; it depends on the
            file alone, so the same file always decodes to the same pixels.
        pixels: what is kept of a frame, see `gesture3d.data.video.pixels`.
        rules: how folders of frames are to be taken, see `gesture3d.data.video.frames`.

    Returns:
        uint8 (T, H, W, C); by default C = 3, RGB.

    Raises:
        VideoError: names the path and what is wrong with it.
    """
    reader = open_video(path, backend, rules)
    frames = read_opened(path, reader, indices, short_side, pixels)
    if rules[2] == "steady":
        check_steady(path, reader)
    return frames


def read_opened(
    path: Path,
    reader: VideoReader,
    indices: np.ndarray | list[int] | None,
    short_side: int | None,
    pixels: Pixels = "rgb",
    view: View | None = None,
) -> np.ndarray:
    """`read_frames` for a clip that is open already.

    Args:
        view: what is kept of each frame, applied as soon as it is decoded; None keeps all of it.
    """
    if pixels == "followed":
        return _read_followed(path, reader, indices, short_side, view)
    wanted = np.arange(reader.num_frames) if indices is None else np.asarray(indices, np.int64)
    if wanted.size == 0:
        raise ValueError("indices must name at least one frame")
    if wanted.min() < 0 or wanted.max() >= reader.num_frames:
        raise VideoError(path, f"has {reader.num_frames} frames, asked for frame {wanted.max()}")
    unique, inverse = np.unique(wanted, return_inverse=True)
    clip = None
    try:
        for row, frame in enumerate(reader.frames(unique)):
            if max(frame.shape[:2]) > LONGEST * min(frame.shape[:2]):  # scaled, it fills the memory
                size = f"{frame.shape[1]}x{frame.shape[0]}"
                raise VideoError(
                    path, f"frames of {size} pixels: crop them to less than {LONGEST}:1"
                )
            kept = prepare_frame(frame, short_side, pixels, reader.is_bgr)
            kept = view(kept) if view else kept
            if clip is None:
                clip = np.empty((len(unique), *kept.shape), np.uint8)
            if kept.shape != clip.shape[1:]:
                raise VideoError(path, f"changes its frame size at frame {unique[row]}")
            clip[row] = kept
    except cv2.error as error:
        raise VideoError(path, f"OpenCV cannot read it: {first_line(error)}") from None
    if reader.is_bgr and pixels == "rgb":
        bgr_to_rgb(clip)
    return clip if np.array_equal(unique, wanted) else clip[inverse]


def _read_followed(
    path: Path,
    reader: VideoReader,
    indices: np.ndarray | list[int] | None,
    short_side: int | None,
    view: View | None,
) -> np.ndarray:
    """The part of the frames in which something moves, see `gesture3d.data.video.framing`."""
    wanted = np.arange(reader.num_frames) if indices is None else np.asarray(indices, np.int64)
    seen = framing.seen_in(reader.num_frames)

    def part(frame: np.ndarray, square: framing.Square) -> np.ndarray:
        frame = framing.cut(frame, square, short_side)
        return view(frame) if view else frame

    every, side = np.union1d(wanted, seen), framing.kept_side(*reader.size)
    if len(every) > MOST_KEPT:  # decoded twice
        square = framing.moving_part(read_opened(path, reader, seen, side))
        return read_opened(path, reader, wanted, side, view=lambda frame: part(frame, square))
    frames = read_opened(path, reader, every, side)
    square = framing.moving_part(frames[np.searchsorted(every, seen)])
    return np.stack([part(frame, square) for frame in frames[np.searchsorted(every, wanted)]])


def check_steady(path: Path, reader: VideoReader) -> None:
    """Raises `VideoError` where frames that have been read come at a rate that varies: by the
    clock of the file one is more than a quarter of a second from where it would be."""
    begin = reader.seconds_of(0)
    for number in range(reader.num_frames if reader.fps else 0):
        now, steady = reader.seconds_of(number), number / reader.fps
        if now is not None and begin is not None and abs(now - begin - steady) > UNSTEADY:
            raise VideoError(
                path,
                f"its frame rate varies: frame {number + 1} comes at {now - begin:.2f} s, not "
                f"{steady:.2f} s; make it steady: ffmpeg -i IN -fps_mode cfr OUT.mp4",
            )


def begin_of(reader: VideoReader, number: int, rate_hz: float) -> float:
    """When a frame begins that has been read or lies before one, seconds from the first one on:
    at ``rate_hz`` frames a second; by the clock of the file where that is a frame or more away."""
    begin, now = reader.seconds_of(0), reader.seconds_of(number)
    steady = number / rate_hz
    if begin is None or now is None or abs(now - begin - steady) < 1 / rate_hz:
        return steady
    return now - begin


def timed_frames(reader: VideoReader, rate_hz: float) -> Iterator[tuple[np.ndarray, float]]:
    """Every frame, and when it begins, see `frame_seconds`."""
    every = np.arange(reader.num_frames)
    return zip(reader.frames(every), frame_seconds(reader, rate_hz), strict=True)


def frame_seconds(reader: VideoReader, rate_hz: float) -> Iterator[float]:
    """When each frame begins, seconds from the first one on; to be asked for once it has been read:
    by the clock of the file, whose rate may vary, where it has one that ascends; else ``rate_hz``
    frames a second."""
    begin, now = reader.seconds_of(0) or 0.0, 0.0
    yield now
    for number in range(1, reader.num_frames):
        said, before = reader.seconds_of(number), now
        now = number / rate_hz if said is None else said - begin
        now = now if now > before else before + 1 / rate_hz
        yield now


def open_video(
    path: Path, backend: Backend = "auto", rules: FrameRules = ANY_FRAMES
) -> VideoReader:
    """Open a clip for reading. Raises `VideoError` where it is missing, empty or no video."""
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path, rules)
    if path.suffix.lower() == ".mat" and (path.is_file() or split_zip(path)[0]):
        try:
            return DepthClip(path)
        except Gesture3dError as error:
            raise VideoError(path, str(error)) from None
    try:
        str(path).encode()
    except UnicodeEncodeError:  # OpenCV crashes on it
        name = os.fsencode(path)
        if name.decode(errors="replace").encode() == name:  # it is the locale that is not
            raise VideoError(path, "its name needs UTF-8: set PYTHONUTF8=1") from None
        raise VideoError(path, "its name is not UTF-8: rename it") from None
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = "no such file" if not path.exists() else error.strerror or str(error)
        raise VideoError(path, reason) from None
    if size == 0:
        raise VideoError(path, "is empty (0 bytes)")
    if is_animated_webp(path):
        return AnimatedWebP(path)
    opened = OpenCVVideo(path)
    require_backend(backend)
    if backend == "torchcodec":
        return TorchcodecVideo(path, opened)
    seeks = opened.count_is_exact and opened.container == "mp4"
    is_long = seeks and opened.num_frames > backends.LONG_CLIP
    if backend == "decord" or (backend == "auto" and is_long and import_decord() is not None):
        return DecordVideo(path, opened)
    return opened if backend == "opencv" else other_decoder(path, opened) or opened


def require_backend(backend: Backend) -> None:
    """Raise Gesture3dError where a backend that is asked for by name is not installed."""
    if backend == "decord" and import_decord() is None:
        raise Gesture3dError("the backend 'decord' is not installed: use 'opencv' or 'auto'")
    if backend == "torchcodec":
        try:
            import torchcodec.decoders  # noqa: F401
        except (ImportError, OSError, RuntimeError):
            raise Gesture3dError(
                "the backend 'torchcodec' is not usable: pip install gesture3d[torchcodec] and "
                "FFmpeg, or use 'opencv' or 'auto'"
            ) from None
