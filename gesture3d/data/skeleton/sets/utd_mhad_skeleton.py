"""The skeletons of UTD-MHAD: 27 actions of 8 people, a Kinect v1, 30 Hz.

Chen, Jafari & Kehtarnavaz, "UTD-MHAD", ICIP 2015. Official protocol: train on subjects 1, 3, 5, 7,
test on 2, 4, 6, 8.
"""

import re
from collections.abc import Container
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from gesture3d.data.archive import files_in
from gesture3d.data.index import Index, Item
from gesture3d.data.matlab import read_array
from gesture3d.data.skeleton.files import check_joints
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.data.video.sets.utd_mhad_depth import ACTIONS
from gesture3d.errors import Gesture3dError, naming
from gesture3d.settings import Place


class UTDSkeletonData(SkeletonData):
    """UTD-MHAD: ``Skeleton.zip``, or the folder unpacked from it. Groups: subjects 1 to 8."""

    own_suffix: ClassVar[str] = ".mat"

    name: Literal["utd_mhad_skeleton"]
    root: Place = Path("data/utd_mhad")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        items = []
        for name, where, content in files_in(self.root, "Skeleton", ".mat"):
            found = re.fullmatch(r"(a([0-9]{1,9})_s([0-9]{1,9})_t[0-9]+)_skeleton", Path(name).stem)
            if not found or not 1 <= int(found[2]) <= len(ACTIONS):
                raise Gesture3dError(f"{where}: expected a name such as a1_s1_t1_skeleton.mat")
            label, split = int(found[2]) - 1, "train" if int(found[3]) % 2 else "test"
            joints = utd_joints(content, where)
            items.append(Item(found[1], label, joints, found[3], split, where=where))
        return Index(ACTIONS, items)

    def parse(self, content: bytes, where: str) -> np.ndarray:
        return utd_joints(content, where)


def utd_joints(content: bytes, where: str) -> np.ndarray:
    """UTD-MHAD ``.mat``: ``d_skel`` (20, 3, T), metres in the camera's axes, 30 frames a second."""
    with naming(where):
        values = read_array(content, "d_skel")
    if values.ndim == 2:  # one frame
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[:2] != (20, 3):
        raise Gesture3dError(f"{where}: d_skel has shape {values.shape}, expected (20, 3, frames)")
    return check_joints(values.transpose(2, 0, 1), where)
