"""The joints of the generated stand-in for Jester: 21 of a hand, metres."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import SPLITS, Index, Item
from gesture3d.data.numeric import read_named
from gesture3d.data.skeleton.files import plain_joints
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.data.video.sets.jester import read_class_names
from gesture3d.data.video.sets.synthetic import ClipsPerClass
from gesture3d.settings import Place


class SyntheticJointsData(SkeletonData):
    """The joints of the generated stand-in for Jester; rendered on first use."""

    name: Literal["synthetic_joints"]
    root: Place = Path("data/synthetic")
    clips_per_class: ClipsPerClass = ClipsPerClass()
    hard: bool = False

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        from gesture3d.synthetic.generate import generate

        per_class = self.clips_per_class.model_dump()
        generate(self.root, clips_per_class=per_class, hard=self.hard, seed=self.seed)
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
