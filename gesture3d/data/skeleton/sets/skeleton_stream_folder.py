"""Anyone's long sequences of joints, with one CSV of the gestures in them (seconds)."""

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gesture3d.data.annotated import annotation_lists, read_annotated
from gesture3d.data.index import Index
from gesture3d.data.numeric import read_named
from gesture3d.data.skeleton.files import PLAIN_SUFFIXES, plain_joints
from gesture3d.data.skeleton.streams import SkeletonStreams
from gesture3d.settings import Fraction, Place


class SkeletonStreamFolderData(SkeletonStreams):
    """Anyone's long sequences, ``rate_hz`` frames a second: see `annotation_lists`."""

    name: Literal["skeleton_stream_folder"]
    root: Place = Path("data/skeleton_streams")
    csv: Place | None = None  # of all streams, in place of the files in root
    num_joints: Annotated[int, Field(ge=1, le=10_000)] | None = None  # of flat rows; None: row / 3
    validation_share: Fraction = 0.2

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        lists = annotation_lists(self.root, self.csv)
        return read_annotated(lists, self.root, self.joints_of, self.rate_hz)

    def joints_of(self, path: Path) -> np.ndarray:
        content = read_named(path, PLAIN_SUFFIXES)
        return plain_joints(content, str(path), path.suffix.lower(), self.num_joints)
