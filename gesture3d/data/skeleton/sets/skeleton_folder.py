"""Anyone's sequences of joints: a folder per class, or a CSV that lists them."""

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gesture3d.data.index import Index
from gesture3d.data.listing import ListedSet, read_listing
from gesture3d.data.numeric import read_named
from gesture3d.data.skeleton.files import PLAIN_SUFFIXES, plain_joints
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.settings import Fraction, Place

NumJoints = Annotated[int, Field(ge=1, le=10_000)]


class SkeletonFolderData(ListedSet, SkeletonData):
    """Anyone's sequences: ``root/<class>/<sequence>.npy`` (.npz, .csv, .skeleton), or a CSV that
    lists them.

    The CSV's columns: path, label, and perhaps split (train, validation, test) and group.
    """

    name: Literal["skeleton_folder"]
    root: Place = Path("data/skeletons")
    num_joints: NumJoints | None = None  # of files with a flat row a frame; None: row / 3
    num_bodies: Literal[1, 2] = 1  # of 25 joints each, out of .skeleton files
    test_share: Fraction = 0.2

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_listing(self, PLAIN_SUFFIXES, self.joints_of, progress)

    def joints_of(self, path: Path) -> np.ndarray:
        suffix = path.suffix.lower()
        content = read_named(path, PLAIN_SUFFIXES)
        return plain_joints(content, str(path), suffix, self.num_joints, self.num_bodies)
