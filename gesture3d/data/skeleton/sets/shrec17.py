"""SHREC'17 track, "3D Hand Gesture Recognition Using a Depth and Skeletal Dataset": 14 gestures of
28 people, each made with one finger and with the whole hand; an Intel RealSense, 30 Hz.

De Smedt et al., 3DOR 2017. The official split has every subject on both sides.
"""

from collections.abc import Container
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from gesture3d.data.index import Index, Item
from gesture3d.data.numeric import read_named, text_lines
from gesture3d.data.skeleton.files import check_joints, columns
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

GESTURES = (
    "grab",
    "tap",
    "expand",
    "pinch",
    "rotation clockwise",
    "rotation counter-clockwise",
    "swipe right",
    "swipe left",
    "swipe up",
    "swipe down",
    "swipe x",
    "swipe +",
    "swipe v",
    "shake",
)


class SHREC17Data(SkeletonData):
    """SHREC'17 track in its official layout. Groups: subjects 1 to 28."""

    own_suffix: ClassVar[str] = ".txt"

    name: Literal["shrec17"]
    root: Place = Path("data/HandGestureDataset_SHREC2017")
    num_classes: Literal[14, 28] = 14

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        items = [
            *self._listed("train_gestures.txt", "train"),
            *self._listed("test_gestures.txt", "test"),
        ]
        names = GESTURES
        if self.num_classes == 28:
            names = tuple(f"{n}, {how}" for n in names for how in ("one finger", "whole hand"))
        return Index(names, items, shared_groups=True)

    def _listed(self, name: str, split: str) -> list[Item]:
        """A line: gesture, fingers, subject, trial, label of 14, label of 28, frames."""
        path, items = self.root / name, []
        if not path.is_file():
            raise Gesture3dError(
                f"{path}: no such file; unpack HandGestureDataset_SHREC2017 and set data.root"
            )
        for number, line in enumerate(text_lines(read_named(path), str(path)), start=1):
            if not line.strip():
                continue
            try:
                gesture, fingers, subject, trial, label14, label28, size = map(int, line.split())
            except ValueError:
                raise Gesture3dError(f"{path}:{number}: expected 7 whole numbers") from None
            label = label14 if self.num_classes == 14 else label28
            if not 1 <= label <= self.num_classes:
                raise Gesture3dError(f"{path}:{number}: label {label} of {self.num_classes}")
            key = f"gesture_{gesture}/finger_{fingers}/subject_{subject}/essai_{trial}"
            source = self.root / key / "skeletons_world.txt"
            joints = shrec_joints(read_named(source), str(source))
            if len(joints) != size:
                raise Gesture3dError(
                    f"{source}: {len(joints)} frames, but {path}:{number} says {size}"
                )
            items.append(Item(key, label - 1, joints, str(subject), split, where=str(source)))
        return items

    def parse(self, content: bytes, where: str) -> np.ndarray:
        return shrec_joints(content, where)


def shrec_joints(content: bytes, where: str) -> np.ndarray:
    """SHREC'17 ``skeletons_world.txt``: a row a frame, 22 joints × 3, metres, 30 fps."""
    return check_joints(columns(content, where, None, 66).reshape(-1, 22, 3), where)
