"""Decode many clips into one file of frames, on all cores."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gesture3d.data.index import Item
from gesture3d.data.video.frames import ANY_FRAMES, FrameRules
from gesture3d.data.video.pixels import Pixels
from gesture3d.data.video.reading import VideoError, read_frames
from gesture3d.helpers import Helper, HelperDied, answer_questions, in_helpers, num_helpers

# Where a clip lies in the file: its first byte, then N, H, W, C of its frames.
Place = tuple[int, int, int, int, int]
# The frames' short side, what is kept of them, how folders of frames are taken.
How = tuple[int, Pixels, FrameRules]


def decode_clips(
    clips: list[Item],
    frames: Path,
    short_side: int,
    num_workers: int | None = None,
    progress: bool = True,
    pixels: Pixels = "rgb",
    rules: FrameRules = ANY_FRAMES,
) -> tuple[dict[str, Place], list[tuple[Item, VideoError]]]:
    """Write every clip's frames, scaled to ``short_side``, one behind the other into a file.

    Args:
        frames: an existing file.
        num_workers: processes; None for one per core. Few clips are decoded without any.

    Returns:
        Each clip's place in the file by key, and what went wrong with the clips that have none.

    Raises:
        OSError: the disk is full.
        Gesture3dError: a process could not be started.
    """
    workers = num_helpers(len(clips), num_workers)
    places: dict[str, Place] = {}
    errors: list[tuple[Item, VideoError]] = []
    results = _in_processes if workers > 1 else _right_here
    hide = None if progress else True  # None: a bar on terminals only
    bar = tqdm(total=len(clips), unit="clip", desc="decoding clips", disable=hide)
    with bar:
        found = results(clips, frames, (short_side, pixels, rules), workers)
        for clip, result in zip(clips, found, strict=True):
            if not isinstance(result, VideoError) and clip.num_frames not in (None, result[1]):
                reason = f"has {result[1]} frames, its list says {clip.num_frames}"
                result = VideoError(clip.path, reason)
            if isinstance(result, VideoError):
                errors.append((clip, result))
            else:
                places[clip.key] = result
            bar.update()
    return places, errors


def _right_here(clips: list[Item], frames: Path, how: How, _: int) -> Iterator[Place | VideoError]:
    end = 0
    with frames.open("rb+") as file:
        for clip in clips:
            try:
                decoded = _read(clip.path, how)
            except VideoError as error:
                yield error
                continue
            _write(file, decoded, end)
            yield end, *decoded.shape
            end += decoded.nbytes


def _in_processes(
    clips: list[Item], frames: Path, how: How, num_workers: int
) -> Iterator[Place | VideoError]:
    reserve = _Reserve()
    workers = [_Worker(frames, how) for _ in range(num_workers)]
    return in_helpers(workers, clips, lambda worker, clip: worker.decode(clip.path, reserve))


def _read(path: Path, how: How) -> np.ndarray:
    short_side, pixels, rules = how
    return read_frames(path, short_side=short_side, pixels=pixels, rules=rules)


def _write(file: Any, decoded: np.ndarray, offset: int) -> None:
    file.seek(offset)
    file.write(np.ascontiguousarray(decoded).data)
    file.flush()


class _Reserve:
    """Hands out stretches of the file, one behind the other, to any thread."""

    def __init__(self) -> None:
        self._end = 0
        self._lock = threading.Lock()

    def __call__(self, num_bytes: int) -> int:
        with self._lock:
            offset = self._end
            self._end += num_bytes
        return offset


class _Worker(Helper):
    """A process that decodes one clip at a time.

    The dialogue: path → shape (or what is wrong); offset → done (or errno).
    """

    def __init__(self, frames: Path, how: How) -> None:
        short_side, pixels, rules = how
        super().__init__(__name__, "work", str(frames), str(short_side), pixels, *rules)

    def decode(self, path: Path, reserve: _Reserve) -> Place | VideoError:
        try:
            answer = self.ask(str(path))
            if "wrong" in answer:
                return VideoError(Path(answer["path"]), answer["wrong"])
            shape = answer["shape"]
            offset = reserve(int(np.prod(shape)))
            answer = self.ask(offset)
        except HelperDied as death:
            return VideoError(path, str(death))
        if answer["errno"]:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return offset, *shape


def work(frames: str, short_side: str, pixels: Pixels, *rules: str) -> None:
    """The helper process."""
    with Path(frames).open("rb+") as file:

        def answer(path: str, ask_back: Callable[[Any], Any]) -> dict:
            try:
                decoded = _read(Path(path), (int(short_side), pixels, rules))
            except VideoError as error:
                return {"path": str(error.path), "wrong": error.reason}
            offset = ask_back({"shape": decoded.shape})
            try:
                _write(file, decoded, offset)
            except OSError as error:
                return {"errno": error.errno}
            return {"errno": 0}

        answer_questions(answer)
