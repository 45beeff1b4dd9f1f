"""Files of one skeleton sequence each → float32 joints (T, J, C), checked.

Every data set's own format, and everyone's: ``.npy`` and ``.npz`` (one array) with (T, J, C), or a
flat row a frame, (T, J · C); ``.csv`` with a flat row a frame, and perhaps a header; ``.skeleton``
of NTU RGB+D (`gesture3d.data.skeleton.ntu`).
"""

import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gesture3d.config import SkeletonData, SkeletonFolderData
from gesture3d.data.matlab import read_array
from gesture3d.data.numeric import (
    LARGEST,
    bad_value,
    numpy_array,
    read_file,
    separator_of,
    shown,
    text_lines,
)
from gesture3d.data.skeleton.ntu import body_slots, path_length
from gesture3d.errors import Gesture3dError, naming

PLAIN_SUFFIXES = (".npy", ".npz", ".csv", ".skeleton")
MAX_FRAMES, MAX_JOINTS = 100_000, 1000


def read_joints(path: Path, data: SkeletonData) -> np.ndarray:
    """The joints of one file: in the plain formats, or in the data set's own.

    Raises:
        Gesture3dError: what is wrong with the file, and in which frame.
    """
    with naming(path):
        content = read_file(path)
    suffix, anyones = Path(path).suffix.lower(), isinstance(data, SkeletonFolderData)
    if suffix == ".skeleton":
        return ntu_joints(content, str(path), data.num_bodies if anyones else 1)
    if suffix in PLAIN_SUFFIXES:
        return plain_joints(content, str(path), suffix, data.num_joints if anyones else None)
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
    """``joints`` as float32.

    Raises:
        Gesture3dError: not (1 ≤ T ≤ `MAX_FRAMES`, 1 ≤ J ≤ `MAX_JOINTS`, C = 2 or 3), or a value
            that is not finite or beyond `LARGEST`.
    """
    if joints.ndim != 3 or joints.shape[2] not in (2, 3) or joints.shape[1] < 1:
        raise Gesture3dError(
            f"{where}: shape {joints.shape}; expected (frames, joints, 2 or 3 coordinates)"
        )
    if len(joints) == 0:
        raise Gesture3dError(f"{where}: has no frames")
    if len(joints) > MAX_FRAMES or joints.shape[1] > MAX_JOINTS:
        raise Gesture3dError(
            f"{where}: {len(joints):,} frames of {joints.shape[1]:,} joints; a gesture has at most "
            f"{MAX_FRAMES:,} of {MAX_JOINTS:,}"
        )
    if (bad := bad_value(joints)) is not None:
        value = joints[bad]
        beyond = f", beyond the {LARGEST:g} that is taken" if np.isfinite(value) else ""
        raise Gesture3dError(
            f"{where}: frame {bad[0]}: joint {bad[1]} has the coordinate {value:g}{beyond}"
        )
    return joints.astype(np.float32, copy=False)


def plain_joints(
    content: bytes, where: str, suffix: str, num_joints: int | None = None
) -> np.ndarray:
    """Joints of a .npy, .npz or .csv file.

    Args:
        num_joints: of a file with a flat row a frame; None: a third of the row.
    """
    if suffix == ".csv":
        values = _table(content, where, separator_of(content), header=True)
    else:
        values = numpy_array(content, where)
    if values.ndim == 2:
        columns = values.shape[1]
        joints = num_joints or columns // 3
        if joints < 1 or columns % joints or columns // joints not in (2, 3):
            wanted = f"{num_joints} joints" if num_joints else "joints of 3 coordinates"
            raise Gesture3dError(
                f"{where}: {columns} values a frame cannot be {wanted}; set data.num_joints"
            )
        values = values.reshape(len(values), joints, columns // joints)
    return check_joints(values, where)


def _table(
    content: bytes, where: str, separator: str | None, *, header: bool = False
) -> np.ndarray:
    """Rows of numbers, float64 (T, columns); a ``header`` is a first line with no number in it."""
    numbers, columns, count = array.array("d"), 0, 0
    for number, line in enumerate(text_lines(content, where), start=1):
        if not line.strip():
            continue
        cells = line.strip().rstrip(separator or " ").split(separator)
        try:
            numbers.extend([float(cell) for cell in cells])
        except ValueError:
            if number == 1 and header and not any(map(_is_number, cells)):
                continue
            wrong = next(cell for cell in cells if not _is_number(cell))
            raise Gesture3dError(f"{where}: frame {count}: {shown(wrong)} is no number") from None
        columns = columns or len(cells)
        if len(cells) != columns:
            raise Gesture3dError(
                f"{where}: frame {count} has {len(cells)} values, frame 0 has {columns}"
            )
        count += 1
        if count > MAX_FRAMES:
            raise Gesture3dError(f"{where}: a gesture has at most {MAX_FRAMES:,} frames")
    if not count:
        raise Gesture3dError(f"{where}: has no frames")
    return np.array(numbers).reshape(count, columns)


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


def ntu_joints(content: bytes, where: str, num_bodies: int = 1) -> np.ndarray:
    """NTU RGB+D ``.skeleton``: (T, 25 · num_bodies, 3), metres, 30 frames a second."""
    return check_joints(body_slots(content, where, num_bodies), where)


# --- the data sets' own formats ------------------------------------------------------------------


def utd_joints(content: bytes, where: str) -> np.ndarray:
    """UTD-MHAD ``.mat``: ``d_skel`` (20, 3, T), metres in the camera's axes, 30 frames a second."""
    with naming(where):
        values = read_array(content, "d_skel")
    if values.ndim == 2:  # one frame
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[:2] != (20, 3):
        raise Gesture3dError(f"{where}: d_skel has shape {values.shape}, expected (20, 3, frames)")
    return check_joints(values.transpose(2, 0, 1), where)


def sfinge_joints(content: bytes, where: str) -> np.ndarray:
    """SFINGE3D ``.txt``: a row a frame, 20 joints × (position, unit quaternion), 20 frames a
    second; the positions are read, the quaternions left."""
    table = _columns(content, where, ";", 20 * 7).reshape(-1, 20, 7)
    return check_joints(table[:, :, :3], where)


def shrec_joints(content: bytes, where: str) -> np.ndarray:
    """SHREC'17 ``skeletons_world.txt``: a row a frame, 22 joints × 3, metres, 30 fps."""
    return check_joints(_columns(content, where, None, 66).reshape(-1, 22, 3), where)


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
    check_joints(table, where)
    one, other = table[:, :15] / 1000, table[:, 15:] / 1000
    if path_length(other) > path_length(one):
        one, other = other, one
    return np.concatenate([one, other], axis=1).astype(np.float32)


# Data set → its own suffix and the function that reads it.
NATIVE: dict[str, tuple[str, Callable[[bytes, str], np.ndarray]]] = {
    "utd_mhad_skeleton": (".mat", utd_joints),
    "sfinge3d": (".txt", sfinge_joints),
    "shrec17": (".txt", shrec_joints),
    "sbu_kinect": (".txt", sbu_joints),
}
