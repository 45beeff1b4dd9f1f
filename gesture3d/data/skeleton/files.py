"""Files of one skeleton sequence each → float32 joints (T, J, C), checked.

Every data set's own format, and everyone's: ``.npy`` and ``.npz`` (one array) with (T, J, C), or a
flat row a frame, (T, J · C); ``.csv`` with a flat row a frame, and perhaps a header; ``.skeleton``
of NTU RGB+D (`gesture3d.data.skeleton.ntu`).
"""

import array

import numpy as np

from gesture3d.data.csv_text import separator_of
from gesture3d.data.numeric import (
    LARGEST,
    bad_value,
    is_number,
    no_number,
    numpy_array,
    text_lines,
)
from gesture3d.data.skeleton.ntu import body_slots
from gesture3d.errors import Gesture3dError

PLAIN_SUFFIXES = (".npy", ".npz", ".csv", ".skeleton")
MAX_FRAMES, MAX_JOINTS = 100_000, 1000


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
    content: bytes, where: str, suffix: str, num_joints: int | None = None, num_bodies: int = 1
) -> np.ndarray:
    """Joints of a file of `PLAIN_SUFFIXES`.

    Args:
        num_joints: of a file with a flat row a frame; None: a third of the row.
        num_bodies: out of a .skeleton file: (T, 25 · num_bodies, 3), metres, 30 frames a second.
    """
    if suffix == ".skeleton":
        return check_joints(body_slots(content, where, num_bodies), where)
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
            if number == 1 and header and not any(map(is_number, cells)):
                continue
            wrong = next(cell for cell in cells if not is_number(cell))
            raise Gesture3dError(f"{where}: frame {count}: {no_number(wrong)}") from None
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


def columns(content: bytes, where: str, separator: str | None, count: int) -> np.ndarray:
    """Rows of ``count`` numbers, float64 (T, count)."""
    table = _table(content, where, separator)
    if table.shape[1] != count:
        raise Gesture3dError(f"{where}: {table.shape[1]} values a frame, expected {count}")
    return table
