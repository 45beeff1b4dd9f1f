"""Decode once: every clip of a set, scaled down, in one memory-mapped file of frames."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gesture3d.data.decode import decode_clips
from gesture3d.data.index import Clip, fingerprint
from gesture3d.data.video import VideoError, open_video
from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path, locked, write_text

FORMAT = 1


class FrameCache(Mapping):
    """Decoded clips by key: ``cache[key]`` is a view (N, H, W, 3), uint8 RGB, on the file.

    Frames are read from disk when they are touched, and pickling (to a worker process) passes
    the file's name, not its contents.
    """

    def __init__(self, frames: Path, clips: dict[str, list[int]]) -> None:
        self.path = frames
        self._clips = clips
        self._data = np.memmap(frames, np.uint8, mode="r")

    def __getitem__(self, key: str) -> np.ndarray:
        offset, length, height, width = self._clips[key]
        end = offset + length * height * width * 3
        return self._data[offset:end].reshape(length, height, width, 3)

    def __iter__(self) -> Iterator[str]:
        return iter(self._clips)

    def __len__(self) -> int:
        return len(self._clips)

    def __reduce__(self) -> tuple:
        return FrameCache, (self.path, self._clips)


def open_cache(
    clips: list[Clip],
    folder: Path,
    short_side: int,
    num_workers: int | None = None,
    progress: bool = True,
) -> FrameCache:
    """The decoded frames of ``clips``: reused where they are fresh, else decoded now.

    A cache is fresh while the clips' paths, sizes and modification times are what they were. It
    is complete or not there: its index is written last.

    Args:
        folder: where to keep it.
        short_side: pixels of the frames' short side.
        num_workers: processes that decode; None for one per core.

    Raises:
        Gesture3dError: clips that cannot be decoded (all of them named), or too little disk.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"frames-{short_side}-{fingerprint((c.key, c.path) for c in clips)[:8]}"
    frames, index = folder / f"{name}.bin", folder / f"{name}.json"
    with locked(folder / ".lock"):
        state = _state_of(clips, short_side)
        cache = _open_fresh(frames, index, state)
        if cache is not None:
            _say(progress, f"using {len(clips)} decoded clips in {frames}")
            return cache
        why = "out of date, decoding again" if index.exists() else "decoding once"
        _say(progress, f"{len(clips)} clips: {why} into {frames}")
        for leftover in folder.glob(f".{name}-*"):
            leftover.unlink()
        _build(clips, frames, index, state, short_side, num_workers, progress)
        return _open_fresh(frames, index, state)


def _state_of(clips: list[Clip], short_side: int) -> str:
    def row(clip: Clip) -> tuple:
        try:
            status = clip.path.stat()
        except OSError:
            return clip.key, clip.path, "missing"
        return clip.key, clip.path, status.st_size, status.st_mtime_ns

    return f"{FORMAT}-{short_side}-{fingerprint(map(row, clips))}"


def _open_fresh(frames: Path, index: Path, state: str) -> FrameCache | None:
    try:
        stored = json.loads(index.read_text(encoding="utf-8"))
        if stored["state"] != state or stored["bytes"] != frames.stat().st_size:
            return None
        return FrameCache(frames, stored["clips"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _build(
    clips: list[Clip],
    frames: Path,
    index: Path,
    state: str,
    short_side: int,
    num_workers: int | None,
    progress: bool,
) -> None:
    _check_space(clips, frames.parent, short_side)
    bad_clips = index.with_suffix(".bad.txt")
    bad_clips.unlink(missing_ok=True)
    try:
        with atomic_path(frames) as temporary:
            places, errors = decode_clips(clips, temporary, short_side, num_workers, progress)
            if errors:
                raise Gesture3dError(_explain(errors, len(clips), bad_clips))
            size = temporary.stat().st_size
            index.unlink(missing_ok=True)  # never an old index beside new frames
        write_text(index, json.dumps({"state": state, "bytes": size, "clips": places}))
    except OSError as error:
        reason = error.strerror or str(error)
        raise Gesture3dError(f"cannot write decoded frames to {frames.parent}: {reason}") from error


def _check_space(clips: list[Clip], folder: Path, short_side: int) -> None:
    """Raise where the frames, estimated from a few clips, will not fit on the disk."""
    sizes = []
    for clip in clips[:: max(1, len(clips) // 8)]:
        with contextlib.suppress(VideoError):
            reader = open_video(clip.path)
            frame = reader.read(np.array([0]), short_side)
            sizes.append(frame.nbytes * reader.num_frames)
    needed = int(np.mean(sizes or [0]) * len(clips))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Gesture3dError(
            f"decoded frames need about {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB "
            "free: free some, lower data.cache_size, or set it to null"
        )


def _explain(errors: list[VideoError], total: int, list_path: Path) -> str:
    errors = sorted(errors, key=lambda error: str(error.path))
    listed = "; ".join(map(str, errors[:10]))
    if len(errors) > 10:
        write_text(list_path, "".join(f"{error}\n" for error in errors))
        listed += f"; ... all of them in {list_path}"
    return f"{len(errors)} of {total} clips cannot be decoded: {listed}"


def _say(progress: bool, text: str) -> None:
    if progress:
        print(text)
