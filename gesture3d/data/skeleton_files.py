"""Files of one skeleton sequence each → float32 joints (T, J, C), checked.

Every data set's own format, and everyone's: ``.npy`` and ``.npz`` (one array) with (T, J, C), or a
flat row a frame, (T, J · C); ``.csv`` with a flat row a frame, and perhaps a header.
"""

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gesture3d.config import SkeletonData, SkeletonFolderData
from gesture3d.errors import Gesture3dError

PLAIN_SUFFIXES = (".npy", ".npz", ".csv")


def read_joints(path: Path, data: SkeletonData) -> np.ndarray:
    """The joints of one file: in the plain formats, or in the data set's own.

    Raises:
        Gesture3dError: what is wrong with the file, and in which frame.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise Gesture3dError(f"{path}: no such file") from None
    except OSError as error:
        raise Gesture3dError(f"{path}: cannot be read ({error.strerror})") from None
    suffix = Path(path).suffix.lower()
    if suffix in PLAIN_SUFFIXES:
        num_joints = data.num_joints if isinstance(data, SkeletonFolderData) else None
        return plain_joints(content, str(path), suffix, num_joints)
    own_suffix, parse = NATIVE.get(data.name, (None, None))
    if suffix != own_suffix:
        known = ", ".join(sorted(skeleton_suffixes(data)))
        raise Gesture3dError(f"{path}: not a skeleton file; expected {known}")
    return parse(content, str(path))


def skeleton_suffixes(data: SkeletonData) -> frozenset[str]:
    """Of the files that `read_joints` reads for this data set."""
    own = [NATIVE[data.name][0]] if data.name in NATIVE else []
    return frozenset([*PLAIN_SUFFIXES, *own])


def check_joints(joints: np.ndarray, where: str) -> np.ndarray:
    """``joints``, or Gesture3dError: not (T ≥ 1, J ≥ 1, C = 2 or 3), or a value not finite."""
    if joints.ndim != 3 or joints.shape[2] not in (2, 3) or joints.shape[1] < 1:
        raise Gesture3dError(
            f"{where}: shape {joints.shape}; expected (frames, joints, 2 or 3 coordinates)"
        )
    if len(joints) == 0:
        raise Gesture3dError(f"{where}: has no frames")
    if not np.isfinite(joints).all():
        frame, joint, _ = np.argwhere(~np.isfinite(joints))[0]
        value = joints[frame, joint][~np.isfinite(joints[frame, joint])][0]
        raise Gesture3dError(f"{where}: frame {frame}: joint {joint} has the coordinate {value}")
    return joints


def plain_joints(
    content: bytes, where: str, suffix: str, num_joints: int | None = None
) -> np.ndarray:
    """Joints of a .npy, .npz or .csv file.

    Args:
        num_joints: of a file with a flat row a frame; None: a third of the row.
    """
    values = _table(content, where) if suffix == ".csv" else _array(content, where)
    if values.ndim == 2:
        columns = values.shape[1]
        joints = num_joints or columns // 3
        if joints < 1 or columns % joints or columns // joints not in (2, 3):
            wanted = f"{num_joints} joints" if num_joints else "joints of 3 coordinates"
            raise Gesture3dError(
                f"{where}: {columns} values a frame cannot be {wanted}; set data.num_joints"
            )
        values = values.reshape(len(values), joints, columns // joints)
    return check_joints(values, where).astype(np.float32)


def _array(content: bytes, where: str) -> np.ndarray:
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[k] for k in loaded.files]
    except Exception as error:  # NumPy and zipfile raise of every kind on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Gesture3dError(f"{where}: not a readable NumPy file ({reason})") from None
    if len(arrays) != 1 or arrays[0].dtype.kind not in "fiu":
        raise Gesture3dError(f"{where}: expected one array of numbers")
    return arrays[0]


def _table(content: bytes, where: str, separator: str | None = ",") -> np.ndarray:
    """Rows of numbers, float64 (T, columns); a first line of a .csv with no number is a header."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Gesture3dError(f"{where}: not a text file") from None
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.strip().rstrip(separator or " ").split(separator)
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError:
            if number == 1 and separator == "," and not any(map(_is_number, cells)):
                continue
            wrong = next(cell for cell in cells if not _is_number(cell))
            raise Gesture3dError(f"{where}: frame {len(rows)}: {wrong!r} is no number") from None
        if len(rows[-1]) != len(rows[0]):
            raise Gesture3dError(
                f"{where}: frame {len(rows) - 1} has {len(rows[-1])} values, frame 0 has "
                f"{len(rows[0])}"
            )
    if not rows:
        raise Gesture3dError(f"{where}: has no frames")
    return np.array(rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(content: bytes, where: str, separator: str | None, count: int) -> np.ndarray:
    table = _table(content, where, separator)
    if table.shape[1] != count:
        raise Gesture3dError(f"{where}: {table.shape[1]} values a frame, expected {count}")
    return table


# --- the data sets' own formats ------------------------------------------------------------------


def utd_joints(content: bytes, where: str) -> np.ndarray:
    """UTD-MHAD ``.mat``: ``d_skel`` (20, 3, T), metres in the camera's axes, 30 frames a second."""
    from scipy.io import loadmat

    try:
        values = loadmat(io.BytesIO(content))["d_skel"]
    except KeyError:
        raise Gesture3dError(f"{where}: no variable d_skel in it") from None
    except Exception as error:  # scipy raises many kinds on damaged files
        raise Gesture3dError(f"{where}: not a readable .mat file ({error})") from None
    if values.ndim == 2:  # one frame
        values = values[:, :, None]
    if values.shape[:2] != (20, 3) or values.dtype.kind not in "fiu":
        raise Gesture3dError(f"{where}: d_skel has shape {values.shape}, expected (20, 3, frames)")
    return check_joints(values.transpose(2, 0, 1), where).astype(np.float32)


def sfinge_joints(content: bytes, where: str) -> np.ndarray:
    """SFINGE3D ``.txt``: a row a frame, 20 joints × (position, unit quaternion), 20 frames a
    second; the positions are read, the quaternions left."""
    table = _columns(content, where, ";", 20 * 7).reshape(-1, 20, 7)
    return check_joints(table[:, :, :3], where).astype(np.float32)


def shrec_joints(content: bytes, where: str) -> np.ndarray:
    """SHREC'17 ``skeletons_world.txt``: a row a frame, 22 joints × 3, metres, 30 fps."""
    return check_joints(_columns(content, where, None, 66).reshape(-1, 22, 3), where).astype(
        np.float32
    )


def sbu_joints(content: bytes, where: str) -> np.ndarray:
    """SBU Kinect ``skeleton_pos.txt``: a row a frame, its number, then two bodies of 15 joints × 3.

    De-normalised as the data set's readme says (x = 1280 − 2560 x', y = 960 − 1920 y',
    z = 10000 z' / 7.8125) and divided by 1000, to about metres. The body that moves more comes
    first, as in DeepGRU's code, so that who stands where does not matter.
    """
    table = _columns(content, where, ",", 1 + 2 * 15 * 3)[:, 1:].reshape(-1, 30, 3)
    table = np.stack(
        [1280 - 2560 * table[..., 0], 960 - 1920 * table[..., 1], table[..., 2] * 10000 / 7.8125],
        axis=-1,
    )
    joints = check_joints(table / 1000, where)
    one, other = joints[:, :15], joints[:, 15:]
    if _path_length(other) > _path_length(one):
        one, other = other, one
    return np.concatenate([one, other], axis=1).astype(np.float32)


def _path_length(joints: np.ndarray) -> float:
    return math.fsum(np.linalg.norm(np.diff(joints, axis=0), axis=2).ravel())


# Data set → its own suffix and the function that reads it.
NATIVE: dict[str, tuple[str, Callable[[bytes, str], np.ndarray]]] = {
    "utd_mhad_skeleton": (".mat", utd_joints),
    "sfinge3d": (".txt", sfinge_joints),
    "shrec17": (".txt", shrec_joints),
    "sbu_kinect": (".txt", sbu_joints),
}
