"""A cache of decoded clips made in shards, as long as Jester's list: opened, and read at random."""

import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from gesture3d.data.index import Item
from gesture3d.data.video.prepared.cache import JoinedCache, open_cache
from gesture3d.rng import generator

FRAMES, SIZE = 8, 16  # of a clip, whose pixels are square
LINKS = 1000  # names of one file; file systems have a limit


def benchmark_cache(
    folder: Path, num_clips: int = 118_562, num_reads: int = 100_000, shards: int = 8
) -> dict[str, float]:
    """Make such a cache in ``folder``, measure it, and remove it.

    The clips are files by their own names, few by their contents. Before the reads from the disk
    the system is asked to forget the frames; from memory, it has read all of them.

    Returns:
        By what was measured, in its unit: clips, shards, seconds, megabytes, reads a second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        clips = _make_clips(Path(name) / "clips", num_clips)

        def opened(shard: tuple[int, int] = (0, 1)) -> JoinedCache:
            return open_cache(clips, Path(name) / "cache", SIZE, 1, progress=False, shard=shard)

        started = time.perf_counter()
        for number in range(shards):
            opened((number, shards))
        decoding = time.perf_counter() - started
        own, started = _own_megabytes(), time.perf_counter()
        cache = opened()
        found = {
            "clips": len(cache),
            "shards": len(cache.paths),
            "MB of frames": sum(path.stat().st_size for path in cache.paths) / 1e6,
            "s to decode": decoding,
            "s to open": time.perf_counter() - started,
            "MB of memory that it takes": _own_megabytes() - own,
        }
        keys = [clip.key for clip in clips]
        few = generator("few").choice(len(keys), min(num_reads // 20, len(keys)), replace=False)
        many = generator("many").integers(len(keys), size=num_reads)
        for path in cache.paths:
            _forget(path)
        found["random reads/s from the disk"] = _reads_a_second(cache, [keys[n] for n in few])
        for key in keys:
            np.array(cache[key])
        found["random reads/s from memory"] = _reads_a_second(cache, [keys[n] for n in many])
        found["MB of memory after all reads"] = _own_megabytes() - own
    return found


def _make_clips(folder: Path, count: int) -> list[Item]:
    """Noise that is uneven enough to be told from a damaged file."""
    folder.mkdir(parents=True)
    clips: list[Item] = []
    for number in range(count):
        path = folder / f"{number}.avi"
        if number % LINKS:
            os.link(clips[number - number % LINKS].path, path)
        else:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12, (SIZE, SIZE))
            for frame in generator("clip", number).integers(256, size=(FRAMES, SIZE, SIZE, 3)):
                writer.write(frame.astype(np.uint8))
            writer.release()
        clips.append(Item(str(number), 0, path))
    return clips


def _reads_a_second(cache: JoinedCache, keys: list[str]) -> float:
    started = time.perf_counter()
    for key in keys:
        np.array(cache[key])  # a view touches nothing
    return len(keys) / (time.perf_counter() - started)


def _forget(path: Path) -> None:
    """Let the system drop a file's contents from memory, where it can be asked to."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _own_megabytes() -> float:
    """Resident memory of this process, without that of files."""
    _, resident, shared = map(int, Path("/proc/self/statm").read_text().split()[:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 1e6
