"""Generated performances of Jester's 27 classes as a hand tracker would see them; not rendered."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

import numpy as np

from gesture3d.data.index import SPLITS, Index, Item
from gesture3d.data.skeleton.hands import HandsData
from gesture3d.data.video.sets.synthetic import ClipsPerClass
from gesture3d.settings import Place


class SyntheticHandsData(HandsData):
    """Both hands' joints in the picture, (T, 42, 3), zeros where a hand is not seen: seconds of
    work, and nothing is written. ``seed`` is of the performances. Groups: performers."""

    name: Literal["synthetic_hands"]
    root: Place = Path("data/synthetic_hands")  # in messages only
    clips_per_class: ClipsPerClass = ClipsPerClass()

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        from gesture3d.synthetic.gestures import GESTURES
        from gesture3d.synthetic.tracks import performances

        names = tuple(GESTURES)
        items = []
        for split in SPLITS:
            count = getattr(self.clips_per_class, split)
            for one in performances(split, count, self.seed):
                joints = np.nan_to_num(one.joints).reshape(len(one.joints), -1, 3)
                label = names.index(one.label)
                items.append(Item(one.key, label, joints, one.performer, split))
        return Index(names, items)
