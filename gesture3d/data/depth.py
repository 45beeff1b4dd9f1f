"""Depth maps of 16 bits, as UTD-MHAD stores them: a MATLAB file ``d_depth`` (H, W, T) in mm.

A file may lie in a folder or inside a zip file, which is then part of its path:
``utd_mhad/Depth.zip/Depth/a1_s1_t1_depth.mat``.

Depth becomes grey like that of the generated stand-in, near is bright: g = 255 · (4.0 − z) / 2.2
for z in metres, clipped to 1 … 255, so one level is 8.6 mm and the range is 1.8 to 4.0 m, in which
all people of UTD-MHAD stand; 0 is background.
"""

import functools
import io
import zipfile
from pathlib import Path

import numpy as np

from gesture3d.data.pixels import Pixels, prepare_frame
from gesture3d.errors import Gesture3dError

NEAR_MM, FAR_MM = 1800, 4000


def depth_to_grey(depth: np.ndarray) -> np.ndarray:
    """Depth in mm, 0 = background → uint8 grey of the same shape."""
    levels = np.rint(255 * (FAR_MM - depth.astype(np.float32)) / (FAR_MM - NEAR_MM))
    return np.where(depth == 0, 0, np.clip(levels, 1, 255)).astype(np.uint8)


def read_mat(path: Path, name: str) -> np.ndarray:
    """The array ``name`` of a MATLAB file, which may lie inside a zip file.

    Raises:
        Gesture3dError: not there, damaged, or without such an array. It names no path.
    """
    from scipy.io import loadmat

    try:
        archive, member = split_zip(path)
        if archive is None:
            data = path.read_bytes()
        else:
            data = _open_zip(archive, archive.stat().st_mtime_ns).read(member)
        return loadmat(io.BytesIO(data))[name]
    except FileNotFoundError:
        raise Gesture3dError("no such file") from None
    except KeyError:
        raise Gesture3dError(f"no such file in the archive, or no array {name!r} in it") from None
    except Exception as error:  # scipy and zipfile raise of every kind on damaged files
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise Gesture3dError(f"no readable MATLAB file: {reason}") from None


def split_zip(path: Path) -> tuple[Path | None, str]:
    """(zip file, name inside it) of a path that goes into a zip file; else (None, "")."""
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None, ""


class DepthClip:
    """A depth clip as a `VideoReader`: grey, or three equal channels."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._depth = read_mat(path, "d_depth")
        if self._depth.ndim != 3 or 0 in self._depth.shape:
            raise Gesture3dError(f"d_depth has shape {self._depth.shape}, expected (H, W, T)")
        self.num_frames = self._depth.shape[2]
        self.size, self.fps = self._depth.shape[:2], None

    def read(
        self, indices: np.ndarray, short_side: int | None, pixels: Pixels = "grey"
    ) -> np.ndarray:
        grey = depth_to_grey(self._depth[:, :, indices])
        frames = (np.ascontiguousarray(frame)[..., None] for frame in np.moveaxis(grey, 2, 0))
        return np.stack([prepare_frame(frame, short_side, pixels) for frame in frames])


@functools.lru_cache(maxsize=4)
def _open_zip(path: Path, _modified: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
