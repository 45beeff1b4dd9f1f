"""The decoders of video files: OpenCV, decord (which seeks), and torchcodec, an optional extra."""

import contextlib
import os
import re
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from gesture3d.data.video.containers import examine
from gesture3d.data.video.interlaced import CONVERT, PROGRESSIVE, may_be_interlaced
from gesture3d.errors import VideoError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg is quiet; failures become errors
import cv2

# So is OpenCV; version 5 has another name for it.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)

# Video files with more frames are long: sparse reads seek (decord) instead of decoding them all.
# About here seeking begins to pay for 16 frames (tools/benchmark.py data --part long).
LONG_CLIP = 6000
# Where frames have to be decoded to count them, so many bytes of them are kept for `frames`.
COUNTED_BYTES = 64 << 20
# Containers whose frames have times of their own, which need not be a steady rate.
CLOCKED = ("mp4", "matroska")


class OpenCVVideo:
    """A video file through OpenCV: every frame is decoded, only the wanted are converted.

    The fastest way for clips of a few seconds. The promise of the container is checked: files
    that are cut off decode without any error to fewer frames than they announce.
    """

    is_bgr = True

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            contents = examine(path)
        except OSError as error:
            raise VideoError(path, error.strerror or str(error)) from None
        if contents.problem:
            raise VideoError(path, contents.problem)
        if not contents.has_video:
            raise VideoError(path, "has no video in it: audio only?")
        self.container = contents.kind
        self._capture: cv2.VideoCapture | None = self._open()
        self._decoded: list[tuple[int, np.ndarray, bool]] = []  # all frames, or none
        self._seconds = array("d")  # of the frames from the first one on
        bits = _bits_of_grey(self._capture)
        if bits > 8:  # OpenCV would leave out the lowest
            raise VideoError(path, f"is grey of {bits} bits, as maps of depth are: {CONVERT_DEPTH}")
        self._codec, header = _codec(self._capture)
        self._may_be_interlaced = may_be_interlaced(self._codec, header)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else None
        self.size = tuple(
            int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        )
        promised, lack = contents.num_frames, contents.may_lack
        self.count_is_exact = promised is not None and not lack and not contents.has_edits
        if self.count_is_exact:
            self.num_frames = promised
        else:
            if promised is None:  # OpenCV multiplies duration and frame rate
                is_vague = contents.has_edits or not 0 < fps <= 240
                promised = 0 if is_vague else self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
                lack = 0.1 * max(promised, 0) + 1
            self.num_frames = self._count()
            if 0 < self.num_frames < promised - lack:
                raise self._too_few(int(promised), self.num_frames)
        if self.num_frames < 1 and self.decodes_nothing():
            raise self._too_few(0, 0)
        if self.num_frames < 1:
            raise VideoError(path, "has no video frames")

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        wanted, size = set(indices.tolist()), None
        any_proven = is_progressive = self._codec.lower() in PROGRESSIVE
        found = self._decoded or self._proven(self._decode(indices))
        for position, frame, is_proven in found:
            if position not in wanted:
                continue
            if not frame.size:
                raise VideoError(self.path, f"frame {position} cannot be decoded")
            size = size or frame.shape
            if frame.shape != size:
                raise VideoError(self.path, f"changes its frame size at frame {position}")
            any_proven |= is_proven
            yield frame if is_proven or is_progressive else self._verified(position, frame)
        if not any_proven and self.num_frames > 1 and self._second is None:
            raise VideoError(self.path, f"is interlaced, or does not move: convert it: {CONVERT}")

    def seconds_of(self, position: int) -> float | None:
        """When a frame that has been read begins, by the clock of the file; None: not known."""
        return self._seconds[position] if position < len(self._seconds) else None

    def _grab(self, capture: cv2.VideoCapture, position: int) -> bool:
        grabbed = capture.grab()
        if grabbed and self.container in CLOCKED and position == len(self._seconds):
            self._seconds.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        return grabbed

    def _decode(self, indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each wanted frame, and the one behind the first, with its position."""
        capture = self._capture or self._open()
        self._capture = None  # a capture is read once, from its start
        # Short clips are decoded to their end, so that a cut-off file never passes.
        end = self.num_frames if self.num_frames <= LONG_CLIP else int(indices[-1]) + 1
        wanted = set(indices.tolist())
        if len(wanted) == 1:
            wanted.add(int(indices[0]) + 1)
            end = max(end, min(self.num_frames, int(indices[0]) + 2))
        frame = before = None
        for position in range(end):
            if not self._grab(capture, position):
                raise self._too_few(self.num_frames, position)
            if position in wanted:
                retrieved, before = capture.retrieve(before)
                frame, before = before, frame
                yield position, frame if retrieved else _NO_FRAME
        if end == self.num_frames and capture.grab():
            raise VideoError(self.path, f"damaged: holds more than the {end} frames of its index")

    def _proven(
        self, retrieved: Iterable[tuple[int, np.ndarray]]
    ) -> Iterator[tuple[int, np.ndarray, bool]]:
        """Adds to each frame whether its pixels are proven to be its own.

        For an interlaced frame, `retrieve` of OpenCV ≥ 4.13 says True as well, and leaves in its
        picture what was there before: anything, or the frame retrieved before. So a frame that
        differs from the one before is proven, and the first one where the second one is and single
        frames of the stream cannot be interlaced.
        """
        first = before = None
        for position, frame in retrieved:
            is_new = before is not None and not _same(frame, before)
            if first is not None:
                yield *first, is_new and not self._may_be_interlaced
                first = None
            if before is None:
                first = position, frame
            else:
                yield position, frame, is_new
            before = frame
        if first is not None:
            yield *first, False

    def _verified(self, position: int, frame: np.ndarray) -> np.ndarray:
        """A frame that is not proven, if a second decoder finds the same; else what that finds."""
        if self._second is None:
            if self._may_be_interlaced:
                raise VideoError(self.path, f"is interlaced: convert it: {CONVERT}")
            return frame
        (other,) = self._second.frames(np.array([position]))
        other = np.ascontiguousarray(other[..., ::-1])
        is_same = frame.shape == other.shape and cv2.norm(frame, other, cv2.NORM_INF) <= 2
        return frame if is_same else other

    @cached_property
    def _second(self) -> "DecordVideo | TorchcodecVideo | None":
        """Another decoder that finds as many frames, where there is one.

        Damaged files are found before: decord may abort the process on them.
        """
        capture, decoded = self._open(), 0
        while decoded <= self.num_frames and capture.grab():
            decoded += 1
        if decoded < self.num_frames:
            raise self._too_few(self.num_frames, decoded)
        for decoder in (DecordVideo, TorchcodecVideo):
            with contextlib.suppress(ImportError, OSError, RuntimeError, VideoError):
                second = decoder(self.path, self)
                if second.num_frames == self.num_frames:
                    return second
        return None

    def decodes_nothing(self) -> bool:
        """Whether the codec is one that OpenCV often has no decoder of, and has none here."""
        return self._codec.lower() in ("av01", "vvc1") and not self._open().grab()

    def _open(self) -> cv2.VideoCapture:
        options = [cv2.CAP_PROP_N_THREADS, 1]
        capture = cv2.VideoCapture(_local(self.path), cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise VideoError(
                self.path, "no video can be opened in it: damaged, cut off, audio only or no video"
            )
        return capture

    def _count(self) -> int:
        capture, self._capture = self._capture, None
        count = num_bytes = 0

        def kept() -> Iterator[tuple[int, np.ndarray]]:
            nonlocal count, num_bytes
            while self._grab(capture, count):
                count += 1
                if num_bytes <= COUNTED_BYTES:
                    retrieved, frame = capture.retrieve()
                    num_bytes += frame.nbytes if retrieved else 0
                    yield count - 1, frame if retrieved else _NO_FRAME

        self._decoded = list(self._proven(kept()))
        if num_bytes > COUNTED_BYTES:
            self._decoded = []
        return count

    def _too_few(self, promised: int, decoded: int) -> VideoError:
        if decoded == 0:
            codec = _NAMES.get(self._codec.lower(), self._codec)
            return VideoError(
                self.path,
                "none of its frames can be decoded here: damaged, or there is no decoder of "
                f"{codec if codec.isprintable() else 'its codec'}: {CONVERT_CODEC}",
            )
        return VideoError(
            self.path, f"promises {promised} frames, but only {decoded} decode: cut off or damaged"
        )


class DecordVideo:
    """A video file through decord, which seeks: fast for a few frames of a long video."""

    is_bgr = False

    def __init__(self, path: Path, opened: OpenCVVideo) -> None:
        decord = import_decord()
        if decord is None:
            raise VideoError(path, "the backend 'decord' is not installed")
        if opened.container not in ("mp4", "avi", "matroska"):  # it miscounts, or crashes on others
            raise VideoError(path, "decord does not count frames of this kind: use opencv")
        self.path, self.size, self.fps = path, opened.size, opened.fps
        self._is_clocked = opened.container in CLOCKED
        self._can_seek = opened.container != "avi"  # MPEG-2 in it: a group of pictures too far
        self._next = 0
        try:
            self._reader = decord.VideoReader(_local(path), ctx=decord.cpu(0), num_threads=1)
        except Exception as error:  # decord raises its own and plain RuntimeErrors
            raise VideoError(path, f"decord cannot open it: {first_line(error)}") from None
        self.num_frames = len(self._reader)
        if self.num_frames < opened.num_frames:
            raise opened._too_few(opened.num_frames, self.num_frames)

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        for position in indices.tolist():
            try:
                frame = self._read(position)
            except Exception as error:
                reason = f"frame {position} cannot be decoded: {first_line(error)}"
                raise VideoError(self.path, reason) from None
            yield frame

    def seconds_of(self, position: int) -> float | None:
        """As `OpenCVVideo.seconds_of`."""
        return float(self._reader.get_frame_timestamp(position)[0]) if self._is_clocked else None

    def _read(self, position: int) -> np.ndarray:
        if self._can_seek:
            return _without_padding(self._reader[position].asnumpy())
        if position < self._next:
            self._reader.seek(0)
            self._next = 0
        for _ in range(position - self._next):
            self._reader.next()
        self._next = position + 1
        return _without_padding(self._reader.next().asnumpy())


class TorchcodecVideo:
    """A video file through torchcodec, an optional extra that needs FFmpeg's libraries."""

    is_bgr = False

    def __init__(self, path: Path, opened: OpenCVVideo) -> None:
        from torchcodec.decoders import VideoDecoder

        self.path, self.size, self.fps = path, opened.size, opened.fps
        self._is_clocked = opened.container in CLOCKED
        self._seconds: dict[int, float] = {}
        try:
            self._decoder = VideoDecoder(_local(path), dimension_order="NHWC", num_ffmpeg_threads=1)
        except Exception as error:  # RuntimeError and ValueError of many kinds
            raise VideoError(path, f"torchcodec cannot open it: {first_line(error)}") from None
        self.num_frames = len(self._decoder)
        if self.num_frames < opened.num_frames:
            raise opened._too_few(opened.num_frames, self.num_frames)

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        try:
            decoded = self._decoder.get_frames_at(indices.tolist())
        except Exception as error:
            raise VideoError(self.path, f"cannot be decoded: {first_line(error)}") from None
        if self._is_clocked:
            self._seconds |= zip(indices.tolist(), decoded.pts_seconds.tolist(), strict=True)
        return iter(decoded.data.numpy())

    def seconds_of(self, position: int) -> float | None:
        """As `OpenCVVideo.seconds_of`."""
        return self._seconds.get(position)


def _without_padding(frame: np.ndarray) -> np.ndarray:
    """decord 0.6.0 pads the rows of frames 48 pixels wide to 64 bytes and calls that 4 channels."""
    height, width, channels = frame.shape
    return frame if channels == 3 else frame.reshape(height, -1, channels - 1)[:, :width]


def _local(path: Path) -> str:
    """A path that is not taken for an address, as ``10:22:31.mp4`` would be."""
    return str(path.absolute())


_NO_FRAME = np.empty(0, np.uint8)
_NAMES = {"av01": "AV1", "vvc1": "H.266", "hev1": "H.265", "hvc1": "H.265", "hevc": "H.265"}
CONVERT_CODEC = "convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
CONVERT_DEPTH = (
    "make frames of it, ffmpeg -i IN OUT/%05d.png, for data.modality=depth, or 8 bits: "
    "ffmpeg -i IN -pix_fmt yuv420p OUT.mp4"
)


def other_decoder(path: Path, opened: OpenCVVideo) -> DecordVideo | TorchcodecVideo | None:
    """Another decoder that reads the first frame of a file of which OpenCV reads none."""
    if not opened.decodes_nothing():
        return None
    for decoder in (TorchcodecVideo, DecordVideo):
        with contextlib.suppress(ImportError, OSError, RuntimeError, VideoError):
            other = decoder(path, opened)
            next(iter(other.frames(np.array([0]))))
            return other
    return None


def _same(frame: np.ndarray, other: np.ndarray) -> bool:
    if frame.shape != other.shape:
        return False
    middle = len(frame) // 2  # of two frames that differ, these rows mostly do
    return frame[middle].tobytes() == other[middle].tobytes() and np.array_equal(frame, other)


def _codec(capture: cv2.VideoCapture) -> tuple[str, bytes]:
    """The four letters of a codec, and its header."""
    code = (int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little")
    _, header = capture.retrieve(flag=int(capture.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))
    return code.decode("latin-1"), b"" if header is None else header.tobytes()


def _bits_of_grey(capture: cv2.VideoCapture) -> int:
    """Bits of a picture's only channel; 0 where there are more channels."""
    code = (int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF).to_bytes(4, "little")
    if code[1:] == b"\x001Y":  # of the other byte order
        code = code[::-1]
    return code[3] if code[:3] == b"Y1\0" else 0


def first_line(error: Exception) -> str:
    """What a decoder says, in 120 characters, without its times and places in its source."""
    text = re.sub(r"\[\d\d:\d\d:\d\d\]\s*|\S+/src/\S+\s*", "", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:120]


def import_decord():
    """The decord module, or None where there is no build of it (macOS)."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord
