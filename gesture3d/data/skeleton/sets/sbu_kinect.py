"""SBU Kinect Interaction: 8 interactions of two people, a Kinect, 15 Hz, five folds of pairs.

Yun et al., "Two-person Interaction Detection Using Body-Pose Features and Multiple Instance
Learning", CVPR Workshops 2012.
"""

from collections.abc import Container
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from gesture3d.data.index import Index, Item
from gesture3d.data.numeric import is_count, read_named
from gesture3d.data.skeleton.files import check_joints, columns
from gesture3d.data.skeleton.ntu import path_length
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

# Codes differ in what they call actions 4 to 8; the numbers are what counts.
ACTIONS = (
    "approaching",
    "departing",
    "kicking",
    "punching",
    "pushing",
    "hugging",
    "shaking hands",
    "exchanging",
)
FOLDS = (
    ("s01s02", "s03s04", "s05s02", "s06s04"),
    ("s02s03", "s02s07", "s03s05", "s05s03"),
    ("s01s03", "s01s07", "s07s01", "s07s03"),
    ("s02s01", "s02s06", "s03s02", "s03s06"),
    ("s04s02", "s04s03", "s04s06", "s06s02", "s06s03"),
)


class SBUKinectData(SkeletonData):
    """SBU Kinect Interaction in its official layout. Groups: pairs of people, s01s02 ..."""

    own_suffix: ClassVar[str] = ".txt"
    num_official_folds: ClassVar[int] = len(FOLDS)

    name: Literal["sbu_kinect"]
    root: Place = Path("data/sbu_kinect")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        paths = sorted(self.root.glob("**/skeleton_pos.txt"))
        if not paths:
            raise Gesture3dError(
                f"{self.root}: no **/skeleton_pos.txt; unpack the SBU Kinect Interaction sets "
                "there, or set data.root"
            )
        items = []
        for path in paths:
            pair, action, trial = path.parts[-4:-1]
            if pair not in sum(FOLDS, ()) or not is_count(action) or not 1 <= int(action) <= 8:
                raise Gesture3dError(
                    f"{path}: expected s01s02/<action 01..08>/<trial>/skeleton_pos.txt"
                )
            joints = sbu_joints(read_named(path), str(path))
            key = f"{pair}/{action}/{trial}"
            items.append(Item(key, int(action) - 1, joints, pair, where=str(path)))
        folds = [frozenset(i.key for i in items if i.group in fold) for fold in FOLDS]
        return Index(ACTIONS, items, folds)

    def parse(self, content: bytes, where: str) -> np.ndarray:
        return sbu_joints(content, where)


def sbu_joints(content: bytes, where: str) -> np.ndarray:
    """SBU Kinect ``skeleton_pos.txt``: a row a frame, its number, then two bodies of 15 joints × 3.

    De-normalised as the data set's readme says (x = 1280 − 2560 x', y = 960 − 1920 y',
    z = 10000 z' / 7.8125) and divided by 1000, to about metres. The body that moves more comes
    first, as in DeepGRU's code, so that who stands where does not matter.
    """
    table = columns(content, where, ",", 1 + 2 * 15 * 3)[:, 1:].reshape(-1, 30, 3)
    table = np.stack(
        [1280 - 2560 * table[..., 0], 960 - 1920 * table[..., 1], table[..., 2] * 10000 / 7.8125],
        axis=-1,
    )
    check_joints(table, where)
    one, other = table[:, :15] / 1000, table[:, 15:] / 1000
    if path_length(other) > path_length(one):
        one, other = other, one
    return np.concatenate([one, other], axis=1).astype(np.float32)
