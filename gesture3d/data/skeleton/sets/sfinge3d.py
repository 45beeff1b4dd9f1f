"""SFINGE3D: 13 hand gestures out of longer streams, 36 instances each, a Leap-like hand, 20 Hz.

Caputo et al., "SFINGE 3D: A novel benchmark for online detection and recognition of heterogeneous
hand gestures from 3D fingers' trajectories", Computers & Graphics 91 (2020).
"""

from collections.abc import Container
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from gesture3d.data.archive import files_in
from gesture3d.data.index import Index, Item
from gesture3d.data.numeric import is_count
from gesture3d.data.skeleton.files import check_joints, columns
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place


class SFINGE3DData(SkeletonData):
    """SFINGE3D: ``Dictionary.zip``, or its folder. Groups: blocks of six instances."""

    own_suffix: ClassVar[str] = ".txt"
    num_official_folds: ClassVar[int] = 6

    name: Literal["sfinge3d"]
    root: Place = Path("data/sfinge3d")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        items = []
        for name, where, content in files_in(self.root, "Dictionary", ".txt"):
            label, instance = Path(name).parent.name, Path(name).stem
            if not (is_count(label) and is_count(instance) and 1 <= int(label) <= 13):
                raise Gesture3dError(f"{where}: expected Dictionary/<class 1..13>/<number>.txt")
            block = str((int(instance) - 1) // 6 + 1)
            joints = sfinge_joints(content, where)
            items.append(Item(f"{label}/{instance}", int(label) - 1, joints, block, where=where))
        blocks = sorted({item.group for item in items}, key=int)
        folds = [frozenset(i.key for i in items if i.group == block) for block in blocks]
        return Index(tuple(str(n) for n in range(1, 14)), items, folds)

    def parse(self, content: bytes, where: str) -> np.ndarray:
        return sfinge_joints(content, where)


def sfinge_joints(content: bytes, where: str) -> np.ndarray:
    """SFINGE3D ``.txt``: a row a frame, 20 joints × (position, unit quaternion), 20 frames a
    second; the positions are read, the quaternions left."""
    table = columns(content, where, ";", 20 * 7).reshape(-1, 20, 7)
    return check_joints(table[:, :, :3], where)
