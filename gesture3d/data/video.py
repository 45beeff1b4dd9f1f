"""Decode clips: video files, folders of frames and depth maps, behind one interface.

``open_video(path)`` returns a reader with ``num_frames`` and ``frames(indices)``; `read_opened`
makes a clip of them; `frame_count` and `read_frames` are both in one call. Every reader decodes on
one thread (parallel work is one clip per thread or process) and reports every failure as a
`VideoError`.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from gesture3d.data.containers import container, edited_seconds, matroska_frames, missing_bytes
from gesture3d.data.depth import DepthClip, split_zip
from gesture3d.data.frames import FrameFolder
from gesture3d.data.pixels import Pixels, bgr_to_rgb, prepare_frame
from gesture3d.errors import Gesture3dError, VideoError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg is quiet; failures become errors
import cv2

# So is OpenCV; version 5 has another name for it.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)

Backend = Literal["auto", "opencv", "decord", "torchcodec"]

# Video files with more frames are long: sparse reads seek (decord) instead of decoding them all.
# About here seeking begins to pay for 16 frames (tools/benchmark.py data --part long).
LONG_CLIP = 6000
# Where frames have to be decoded to count them, so many bytes of them are kept for `frames`.
COUNTED_BYTES = 64 << 20
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".wmv", ".flv"}


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
) -> np.ndarray:
    """Decode frames of a video file, of a folder of numbered frames, or of a depth file.

    Args:
        indices: which frames, in any order, repeats allowed; None for all.
        short_side: scale the frames so that their short side has this many pixels.
        backend: "auto" takes OpenCV for short clips and decord for long ones; it depends on the
            file alone, so the same file always decodes to the same pixels.
        pixels: what is kept of a frame, see `gesture3d.data.pixels`.

    Returns:
        uint8 (T, H, W, C); by default C = 3, RGB.

    Raises:
        VideoError: names the path and what is wrong with it.
    """
    return read_opened(path, open_video(path, backend), indices, short_side, pixels)


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
    wanted = np.arange(reader.num_frames) if indices is None else np.asarray(indices, np.int64)
    if wanted.size == 0:
        raise ValueError("indices must name at least one frame")
    if wanted.min() < 0 or wanted.max() >= reader.num_frames:
        raise VideoError(path, f"has {reader.num_frames} frames, asked for frame {wanted.max()}")
    unique, inverse = np.unique(wanted, return_inverse=True)
    clip = None
    try:
        for row, frame in enumerate(reader.frames(unique)):
            kept = prepare_frame(frame, short_side, pixels, reader.is_bgr)
            kept = view(kept) if view else kept
            if clip is None:
                clip = np.empty((len(unique), *kept.shape), np.uint8)
            clip[row] = kept
    except cv2.error as error:
        raise VideoError(path, f"OpenCV cannot read it: {_first_line(error)}") from None
    if reader.is_bgr and pixels == "rgb":
        bgr_to_rgb(clip)
    return clip if np.array_equal(unique, wanted) else clip[inverse]


def open_video(path: Path, backend: Backend = "auto") -> VideoReader:
    """Open a clip for reading. Raises `VideoError` where it is missing, empty or no video."""
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path)
    if path.suffix.lower() == ".mat" and (path.is_file() or split_zip(path)[0]):
        try:
            return DepthClip(path)
        except Gesture3dError as error:
            raise VideoError(path, str(error)) from None
    try:
        str(path).encode()
    except UnicodeEncodeError:  # OpenCV crashes on it
        raise VideoError(path, "its name is not UTF-8: rename it") from None
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = "no such file" if not path.exists() else error.strerror or str(error)
        raise VideoError(path, reason) from None
    if size == 0:
        raise VideoError(path, "is empty (0 bytes)")
    opened = OpenCVVideo(path)
    require_backend(backend)
    if backend == "torchcodec":
        return TorchcodecVideo(path, opened)
    is_long = opened.num_frames > LONG_CLIP and opened.count_is_exact
    if backend == "decord" or (backend == "auto" and is_long and _import_decord() is not None):
        return DecordVideo(path, opened)
    return opened


def require_backend(backend: Backend) -> None:
    """Raise Gesture3dError where a backend that is asked for by name is not installed."""
    if backend == "decord" and _import_decord() is None:
        raise Gesture3dError("the backend 'decord' is not installed: use 'opencv' or 'auto'")
    if backend == "torchcodec":
        try:
            import torchcodec.decoders  # noqa: F401
        except (ImportError, OSError, RuntimeError):
            raise Gesture3dError(
                "the backend 'torchcodec' is not usable: pip install gesture3d[torchcodec] and "
                "FFmpeg, or use 'opencv' or 'auto'"
            ) from None


class OpenCVVideo:
    """A video file through OpenCV: every frame is decoded, only the wanted are converted.

    The fastest way for clips of a few seconds. The promise of the container is checked: files
    that are cut off decode without any error to fewer frames than they announce.
    """

    is_bgr = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture: cv2.VideoCapture | None = self._open()
        self._decoded: list[np.ndarray | None] = []  # all frames, or none
        promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else None
        self.size = tuple(
            int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        )
        # Only these containers store a number of frames; for others OpenCV multiplies duration
        # and frame rate, so the frames are counted. So are those of an mp4 that hides some.
        kind = container(path)
        shown = edited_seconds(path) if kind == "mp4" else None
        if shown is not None and round(shown * fps) <= promised - 2:
            kind, promised = "edited mp4", shown * fps
        self.count_is_exact = promised > 0 and kind in ("mp4", "avi")
        if self.count_is_exact:
            self.num_frames = int(promised)
        else:
            reason = missing_bytes(path)
            if reason is not None:
                raise VideoError(path, reason)
            promised = promised if 0 < fps <= 240 else 0
            if kind == "matroska":  # its frame rate is that of a clock, not of the frames
                promised = matroska_frames(path) or promised
            self.num_frames = self._count(promised)
        if self.num_frames < 1:
            raise VideoError(path, "has no video frames")

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        positions = indices.tolist()
        if self._decoded:
            found = (self._decoded[position] for position in positions)
        else:
            found = self._decode(indices)
        full_size = None
        for position, frame in zip(positions, found, strict=True):
            if frame is None:
                raise VideoError(self.path, f"frame {position} cannot be decoded")
            full_size = full_size or frame.shape
            if frame.shape != full_size:
                raise VideoError(self.path, f"changes its frame size at frame {position}")
            yield frame

    def _decode(self, indices: np.ndarray) -> Iterator[np.ndarray | None]:
        capture = self._capture or self._open()
        self._capture = None  # a capture is read once, from its start
        # Short clips are decoded to their end, so that a cut-off file never passes.
        end = self.num_frames if self.num_frames <= LONG_CLIP else int(indices[-1]) + 1
        wanted, frame = set(indices.tolist()), None
        for position in range(end):
            if not capture.grab():
                raise self._too_few(self.num_frames, position)
            if position in wanted:
                retrieved, frame = capture.retrieve(frame)
                yield frame if retrieved else None

    def _open(self) -> cv2.VideoCapture:
        options = [cv2.CAP_PROP_N_THREADS, 1]
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise VideoError(
                self.path, "no video can be opened in it: damaged, cut off, audio only or no video"
            )
        return capture

    def _count(self, promised: float) -> int:
        capture, self._capture = self._capture, None
        count = num_bytes = 0
        while capture.grab():
            count += 1
            if num_bytes <= COUNTED_BYTES:
                retrieved, frame = capture.retrieve()
                self._decoded.append(frame if retrieved else None)
                num_bytes += frame.nbytes if retrieved else 0
        if num_bytes > COUNTED_BYTES:
            self._decoded = []
        if 0 < count < 0.9 * promised - 1:
            raise self._too_few(int(promised), count)
        return count

    def _too_few(self, promised: int, decoded: int) -> VideoError:
        return VideoError(
            self.path, f"promises {promised} frames, but only {decoded} decode: cut off or damaged"
        )


class DecordVideo:
    """A video file through decord, which seeks: fast for a few frames of a long video."""

    is_bgr = False

    def __init__(self, path: Path, opened: OpenCVVideo) -> None:
        decord = _import_decord()
        self.path, self.size, self.fps = path, opened.size, opened.fps
        try:
            self._reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        except Exception as error:  # decord raises its own and plain RuntimeErrors
            raise VideoError(path, f"decord cannot open it: {_first_line(error)}") from None
        self.num_frames = len(self._reader)
        if self.num_frames < opened.num_frames:
            raise opened._too_few(opened.num_frames, self.num_frames)

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        for position in indices.tolist():
            try:
                frame = self._reader[position].asnumpy()
            except Exception as error:
                reason = f"frame {position} cannot be decoded: {_first_line(error)}"
                raise VideoError(self.path, reason) from None
            yield frame


class TorchcodecVideo:
    """A video file through torchcodec, an optional extra that needs FFmpeg's libraries."""

    is_bgr = False

    def __init__(self, path: Path, opened: OpenCVVideo) -> None:
        from torchcodec.decoders import VideoDecoder

        self.path, self.size, self.fps = path, opened.size, opened.fps
        try:
            self._decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
        except Exception as error:  # RuntimeError and ValueError of many kinds
            raise VideoError(path, f"torchcodec cannot open it: {_first_line(error)}") from None
        self.num_frames = len(self._decoder)
        if self.num_frames < opened.num_frames:
            raise opened._too_few(opened.num_frames, self.num_frames)

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        try:
            decoded = self._decoder.get_frames_at(indices.tolist()).data.numpy()
        except Exception as error:
            raise VideoError(self.path, f"cannot be decoded: {_first_line(error)}") from None
        return iter(decoded)


def _first_line(error: Exception) -> str:
    text = re.sub(r"\[\d\d:\d\d:\d\d\]\s*|\S+/src/\S+\s*", "", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:120]


def _import_decord():
    """The decord module, or None where there is no build of it (macOS)."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord
