"""Decode once: every clip of a set, scaled down, in one memory-mapped file of frames."""

import contextlib
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from gesture3d.data.index import Item, fingerprint
from gesture3d.data.subset import list_line
from gesture3d.data.video import framing
from gesture3d.data.video.depth import mapping_version, split_zip
from gesture3d.data.video.frames import ANY_FRAMES, FrameRules
from gesture3d.data.video.pixels import Pixels
from gesture3d.data.video.prepared.decode import decode_clips
from gesture3d.data.video.reading import VideoError, open_video, read_opened
from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path, locked, remove_leftovers, write_text
from gesture3d.stored import Text, Whole, parse_json

FORMAT = 2


class FrameCache(Mapping):
    """Decoded clips by key: ``cache[key]`` is a view (N, H, W, C), uint8, on the file.

    Frames are read from disk when they are touched, and pickling (to a worker process) passes
    the file's name, not its contents. ``broken`` names clips that could not be decoded, with the
    reasons.
    """

    def __init__(
        self, frames: Path, clips: dict[str, list[int]], broken: dict[str, str] | None = None
    ) -> None:
        self.path = frames
        self.broken = broken or {}
        self._clips = clips
        self._data = np.memmap(frames, np.uint8, mode="r") if clips else np.empty(0, np.uint8)

    def __getitem__(self, key: str) -> np.ndarray:
        offset, *shape = self._clips[key]
        if self.path.stat().st_size < len(self._data):  # to touch what is missing kills the process
            raise Gesture3dError(f"{self.path}: was cut off while in use; start again")
        return self._data[offset : offset + math.prod(shape)].reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._clips)

    def __len__(self) -> int:
        return len(self._clips)

    def __reduce__(self) -> tuple:
        return FrameCache, (self.path, self._clips, self.broken)

    @property
    def paths(self) -> list[Path]:
        """Its files of frames."""
        return [self.path]


class JoinedCache(Mapping):
    """Caches of parts of a set as one."""

    def __init__(self, parts: list[FrameCache]) -> None:
        self._parts = parts
        self._part_of = {key: part for part in parts for key in part}
        self.broken = {key: why for part in parts for key, why in part.broken.items()}

    def __getitem__(self, key: str) -> np.ndarray:
        return self._part_of[key][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._part_of)

    def __len__(self) -> int:
        return len(self._part_of)

    def __reduce__(self) -> tuple:
        return JoinedCache, (self._parts,)

    @property
    def paths(self) -> list[Path]:
        """Its files of frames."""
        return [part.path for part in self._parts]


def open_cache(
    clips: list[Item],
    folder: Path,
    short_side: int,
    num_workers: int | None = None,
    progress: bool = True,
    pixels: Pixels = "rgb",
    skip_broken: bool = False,
    modality: str = "rgb",
    rules: FrameRules = ANY_FRAMES,
    shard: tuple[int, int] = (0, 1),
) -> FrameCache | JoinedCache:
    """The decoded frames of ``clips``: reused where they are fresh, else decoded now.

    A cache is fresh for a clip while the clip's path, size and modification time are what they
    were; one of more clips serves also for some of them. It is complete or not there: its index
    is written last. Caches in the same folder that are out of date are removed.

    Where shards have begun a cache of the very same clips, the missing ones of them are decoded,
    and all of them together are the cache.

    Args:
        folder: where to keep it.
        short_side: pixels of the frames' short side.
        num_workers: processes that decode; None for one per core.
        skip_broken: leave clips out that cannot be decoded, and name them in ``broken``.
        modality: caches of several in one folder do not replace each other.
        rules: how folders of frames are taken.
        shard: one part of so many, of which each may be made on another machine.

    Raises:
        Gesture3dError: clips that cannot be decoded (all of them named), or too little disk.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    gaps = ["gaps"] if rules[1] == "allow" else []
    kind = "-".join(["frames", str(short_side), *dict.fromkeys((modality, pixels)), *gaps])
    name = f"{kind}-{fingerprint((c.key, c.path) for c in clips)[:8]}"
    index, states = folder / f"{name}.json", _states(clips, modality, pixels)
    how = (short_side, pixels, skip_broken, rules)

    def opened(shard: tuple[int, int]) -> FrameCache:
        number, count = shard
        part = folder / (f"{name}-{number}of{count}.json" if count > 1 else f"{name}.json")
        own = clips[number::count]
        job = _Job(own, part.with_suffix(".bin"), part, {c.key: states[c.key] for c in own}, *how)
        with locked(folder / (f".lock-{number}of{count}" if count > 1 else ".lock")):
            others = [] if count > 1 else sorted({*_indices(folder, kind)} - {index})
            return job.open_or_build(others, num_workers, progress)

    begun = {re.search(r"of(\d+)$", path.stem)[1] for path in folder.glob(f"{name}-*of*.json")}
    if shard[1] > 1 or not begun or index.exists():
        return opened(shard)
    count = int(sorted(begun)[0])
    return JoinedCache([opened((number, count)) for number in range(count)])


def _indices(folder: Path, kind: str) -> list[Path]:
    """Of the whole caches of a kind, and of parts."""
    name = f"{kind}-{'[0-9a-f]' * 8}"
    return [*folder.glob(f"{name}.json"), *folder.glob(f"{name}-*of*.json")]


def _states(clips: list[Item], modality: str, pixels: Pixels) -> dict[str, str]:
    """By key, what changes when decoded frames may: the clip's file, the way from depth to grey,
    the way in which the moving part is found."""
    framed = framing.VERSION if pixels == "followed" else ""
    versions = {".mat": mapping_version(), "": mapping_version()} if modality == "depth" else {}
    return {
        clip.key: file_state(clip.path) + versions.get(clip.path.suffix.lower(), "") + framed
        for clip in clips
    }


def file_state(path: Path) -> str:
    """Changes when the file (or the zip file it lies in) does, or a frame of a folder is added,
    removed or renamed. A frame that is overwritten in place is not noticed: to look at every frame
    of every clip takes minutes on large sets."""
    archive, member = split_zip(path)
    try:
        status = (archive or path).stat()
    except OSError:
        return f"{path} missing"
    return fingerprint([(path, member, status.st_size, status.st_mtime_ns)])


class _Index(BaseModel):
    """What is written beside the frames."""

    format: Literal[FORMAT]
    bytes: Whole
    states: dict[Text, Text]
    clips: dict[Text, Annotated[list[Whole], Field(min_length=5, max_length=5)]]
    broken: dict[Text, Text]


_INDEX = TypeAdapter(_Index)


def _read_index(index: Path) -> dict | None:
    """A whole cache's index, else None."""
    try:
        stored = parse_json(index.read_bytes(), _INDEX)
        size = index.with_suffix(".bin").stat().st_size
    except (OSError, ValueError):
        return None
    inside = all(offset + math.prod(shape) <= size for offset, *shape in stored.clips.values())
    return stored.model_dump() if stored.bytes == size and inside else None


def _open_fresh(index: Path, states: dict[str, str], promised: dict[str, int]) -> FrameCache | None:
    """The cache, if it has all clips in these states, with as many frames as their list says."""
    stored = _read_index(index)
    if stored is None or any(stored["states"].get(key) != s for key, s in states.items()):
        return None
    places = {key: stored["clips"][key] for key in states if key in stored["clips"]}
    if any(key in places and places[key][1] != count for key, count in promised.items()):
        return None
    broken = {key: stored["broken"][key] for key in states if key in stored["broken"]}
    return FrameCache(index.with_suffix(".bin"), places, broken)


def _remove_if_outdated(index: Path, states: dict[str, str], progress: bool) -> None:
    """Remove a cache that is damaged, whose clips have changed, or which the new one includes."""
    stored = _read_index(index)
    if stored is not None:
        unknown = [key for key in stored["states"] if key not in states]
        same = all(states[k] == s for k, s in stored["states"].items() if k in states)
        if unknown and same:
            return
    _say(progress, f"removing {index.with_suffix('.bin')}: out of date")
    index.unlink(missing_ok=True)
    index.with_suffix(".bin").unlink(missing_ok=True)


@dataclass(frozen=True)
class _Job:
    """A cache to be opened, or built."""

    clips: list[Item]
    frames: Path
    index: Path
    states: dict[str, str]
    short_side: int
    pixels: Pixels
    skip_broken: bool
    rules: FrameRules

    def open_or_build(
        self, others: list[Path], num_workers: int | None, progress: bool
    ) -> FrameCache:
        """One that is fresh, its own or another one; else its own, decoded now."""
        clips = self.clips
        promised = {clip.key: clip.num_frames for clip in clips if clip.num_frames is not None}
        for path in (self.index, *others):
            cache = _open_fresh(path, self.states, promised)
            if cache is not None and (self.skip_broken or not cache.broken):
                _say(progress, f"using {len(clips)} decoded clips in {cache.path}")
                return cache
        why = "out of date, decoding again" if self.index.exists() else "decoding once"
        _say(progress, f"{len(clips)} clips: {why} into {self.frames}")
        remove_leftovers(self.frames)
        self.build(num_workers, progress)
        for path in others:
            _remove_if_outdated(path, self.states, progress)
        return _open_fresh(self.index, self.states, promised)

    def build(self, num_workers: int | None, progress: bool) -> None:
        self._check_space()
        bad_clips = self.index.with_suffix(".bad.txt")
        bad_clips.unlink(missing_ok=True)
        try:
            with atomic_path(self.frames) as temporary:
                places, errors = decode_clips(
                    self.clips,
                    temporary,
                    self.short_side,
                    num_workers,
                    progress,
                    self.pixels,
                    self.rules,
                )
                if errors and not self.skip_broken:
                    raise Gesture3dError(_explain(errors, len(self.clips), bad_clips))
                size = temporary.stat().st_size
                self.index.unlink(missing_ok=True)  # never an old index beside new frames
            stored = {
                "format": FORMAT,
                "bytes": size,
                "states": self.states,
                "clips": places,
                "broken": {clip.key: str(error) for clip, error in errors},
            }
            write_text(self.index, json.dumps(stored))
        except OSError as error:
            reason = error.strerror or str(error)
            raise Gesture3dError(
                f"cannot write decoded frames to {self.frames.parent}: {reason}"
            ) from error

    def _check_space(self) -> None:
        """Raise where the frames, estimated from a few clips, will not fit on the disk."""
        sizes = []
        for clip in self.clips[:: max(1, len(self.clips) // 8)]:
            with contextlib.suppress(VideoError):
                reader = open_video(clip.path, rules=self.rules)
                frame = read_opened(clip.path, reader, [0], self.short_side, self.pixels)
                sizes.append(frame.nbytes * reader.num_frames)
        needed = int(np.mean(sizes or [0]) * len(self.clips))
        free = shutil.disk_usage(self.frames.parent).free
        if needed > free:
            raise Gesture3dError(
                f"decoded frames need about {needed / 1e9:.1f} GB, {self.frames.parent} has "
                f"{free / 1e9:.1f} GB free: free some, lower data.cache_size, or set it to null"
            )


def _explain(errors: list[tuple[Item, VideoError]], total: int, list_path: Path) -> str:
    errors = sorted(errors, key=lambda error: str(error[1].path))
    listed = "; ".join(str(error) for _, error in errors[:10])
    if len(errors) > 10:
        write_text(list_path, "".join(list_line(clip.key, str(error)) for clip, error in errors))
        listed += f"; ... all of them in {list_path}"
    return (
        f"{len(errors)} of {total} clips cannot be decoded: {listed}; repair them, or name them in "
        "data.exclude or data.exclude_list"
    )


def _say(progress: bool, text: str) -> None:
    if progress:
        print(text)
