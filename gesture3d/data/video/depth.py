"""Depth maps of 16 bits, as UTD-MHAD stores them: a MATLAB file ``d_depth`` (H, W, T) in mm.

A file may lie in a folder or inside a zip file, which is then part of its path:
``utd_mhad/Depth.zip/Depth/a1_s1_t1_depth.mat``.

How a clip becomes grey, 8 bits:

- level g = 128 + (m − z) / 5 mm, rounded and clipped to 1 … 255, where m is the median depth of all
  that is not background in the clip: near is bright, the range is ±0.635 m around the person, one
  level is 5 mm; 0 is background;
- the clip is cut to the square around all that is not background in any frame, with a margin of 3 %
  (what sticks out of the image is background), so that the person fills the frame.
"""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from gesture3d.data.matlab import read_array
from gesture3d.data.numeric import read_file
from gesture3d.errors import Gesture3dError
from gesture3d.zips import ZipReader

MM_PER_LEVEL = 5
MARGIN = 0.03


def depth_to_grey(depth: np.ndarray, middle: float | None = None) -> np.ndarray:
    """Depth of a clip (H, W, T) in mm, 0 = background → uint8 grey of the same shape.

    Args:
        middle: the median depth of the clip, where ``depth`` is a part of it.
    """
    foreground = depth > 0
    if middle is None:
        middle = float(np.median(depth[foreground])) if foreground.any() else 0.0
    levels = np.rint(128 + (middle - depth.astype(np.float32)) / MM_PER_LEVEL)
    return np.where(foreground, np.clip(levels, 1, 255), 0).astype(np.uint8)


@functools.cache
def mapping_version() -> str:
    """Changes when the way from depth to grey does: a hash of what becomes of a made-up clip."""
    depth = (np.arange(40 * 30 * 8) * 7 % 4001).reshape(40, 30, 8).astype(np.uint16)
    depth[:9] = depth[:, :5] = 0
    grey = depth_to_grey(cut_to_foreground(depth))
    return hashlib.blake2b(repr(grey.shape).encode() + grey.tobytes(), digest_size=4).hexdigest()


def median_depth(frames: Iterable[np.ndarray]) -> float:
    """The median of all that is not 0 in a clip's frames, uint16; 0 where that is nothing."""
    counts = sum(np.bincount(frame.ravel(), minlength=1 << 16) for frame in frames)
    total = np.cumsum(counts[1:])
    middle = [(total[-1] - 1) // 2, total[-1] // 2]  # two of them in an even number
    return float(np.searchsorted(total, middle, side="right").mean() + 1) if total[-1] else 0.0


def cut_to_foreground(depth: np.ndarray) -> np.ndarray:
    """The square (S, S, T) around all that is not background (0) in a clip (H, W, T)."""
    # A row or column belongs to the person where two pixels of it do: stray pixels are common.
    foreground = depth > 0
    rows = np.flatnonzero((foreground.sum(axis=1) > 1).any(axis=1))
    columns = np.flatnonzero((foreground.sum(axis=0) > 1).any(axis=1))
    if rows.size == 0 or columns.size == 0:
        return depth
    spans = [(int(found[0]), int(found[-1]) + 1) for found in (rows, columns)]
    side = round(max(end - start for start, end in spans) * (1 + 2 * MARGIN))
    square = np.zeros((side, side, depth.shape[2]), depth.dtype)
    source, target = [], []
    for (start, end), length in zip(spans, depth.shape, strict=False):
        first = (start + end - side) // 2
        source.append(slice(max(first, 0), min(first + side, length)))
        target.append(slice(max(-first, 0), min(length - first, side)))
    square[tuple(target)] = depth[tuple(source)]
    return square


def read_mat(path: Path, name: str) -> np.ndarray:
    """The array ``name`` of a MATLAB file, which may lie inside a zip file.

    Raises:
        Gesture3dError: not there, damaged, or without such an array. It names no path.
    """
    archive, member = split_zip(path)
    if archive is None:
        content = read_file(path)
    else:
        content = _open_zip(archive, archive.stat().st_mtime_ns, os.getpid()).read(member)
    return read_array(content, name)


def split_zip(path: Path) -> tuple[Path | None, str]:
    """(zip file, name inside it) of a path that goes into a zip file; else (None, "")."""
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None, ""


class DepthClip:
    """A depth clip as a `VideoReader`: grey."""

    is_bgr = False

    def __init__(self, path: Path) -> None:
        self.path = path
        depth = read_mat(path, "d_depth")
        if depth.ndim != 3 or 0 in depth.shape:
            raise Gesture3dError(f"d_depth has shape {depth.shape}, expected (H, W, T)")
        self.num_frames = depth.shape[2]
        self.size, self.fps = depth.shape[:2], None
        self._grey = depth_to_grey(cut_to_foreground(depth))

    def frames(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        for position in indices.tolist():
            yield np.ascontiguousarray(self._grey[:, :, position])[..., None]

    def seconds_of(self, position: int) -> None:
        """There is no clock."""


@functools.lru_cache(maxsize=4)
def _open_zip(path: Path, _modified: int, _process: int) -> ZipReader:
    # Each process opens its own: a forked one would share the place in the file with its parent.
    return ZipReader(path)
