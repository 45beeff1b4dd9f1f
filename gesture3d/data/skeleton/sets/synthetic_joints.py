"""The joints of the generated stand-in for Jester: 21 of a hand, metres."""

from collections.abc import Container
from typing import Literal

from gesture3d.data.index import SPLITS, Index, Item
from gesture3d.data.numeric import read_named
from gesture3d.data.skeleton.files import plain_joints
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.data.video.sets.jester import read_class_names
from gesture3d.data.video.sets.synthetic import GeneratedSet


class SyntheticJointsData(GeneratedSet, SkeletonData):
    """The joints of the generated stand-in for Jester."""

    name: Literal["synthetic_joints"]

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        self.generate(progress)
        names = read_class_names(self.root / "jester-v1-labels.csv")
        items = []
        for split in SPLITS:
            suffix = "test-labels" if split == "test" else split
            text = (self.root / f"jester-v1-{suffix}.csv").read_text(encoding="utf-8")
            for key, name in (line.split(";") for line in text.split("\n") if line):
                path = self.root / "joints" / f"{key}.npy"
                joints = plain_joints(read_named(path), str(path), ".npy")
                items.append(Item(key, names.index(name), joints, None, split, where=str(path)))
        return Index(names, items)
