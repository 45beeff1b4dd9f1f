"""Three signs (hello, thanks, I love you) by people at their own webcams: both hands' landmarks.

root/sequences.csv     key,label,person,frames
root/hands.npz         key → (T, 42, 3): 21 joints of the left hand, then of the right one, as
                       MediaPipe finds them, in widths and heights of the picture; zeros where
                       a hand is not seen
"""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.csv_text import column_places, csv_rows
from gesture3d.data.index import Index, Item
from gesture3d.data.numeric import numpy_array, read_named
from gesture3d.data.skeleton.files import check_joints
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError, naming
from gesture3d.settings import Place
from gesture3d.zips import ZipReader

COLUMNS = ("key", "label", "person")


class WebcamSignsData(SkeletonData):
    """Signs at webcams, ``sequences.csv`` and ``hands.npz``. Groups: people."""

    name: Literal["webcam_signs"]
    root: Place = Path("data/webcam_signs")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        table, hands = self.root / "sequences.csv", self.root / "hands.npz"
        rows = csv_rows(read_named(table), str(table), COLUMNS, skip_blank=True)
        places = column_places(next(rows, (1, []))[1], str(table))
        for name in COLUMNS:
            if name not in places:
                raise Gesture3dError(f"{table}: no column {name!r} in its header")
        listed = [(line, *(row[places[name]].strip() for name in COLUMNS)) for line, row in rows]
        names = tuple(sorted({label for _, _, label, _ in listed}))
        items = []
        with naming(hands):
            archive = ZipReader(hands)
        with archive:
            for line, key, label, person in listed:
                if f"{key}.npy" not in archive.names:
                    raise Gesture3dError(f"{table}, line {line}: {key} is not in {hands}")
                where = f"{hands}/{key}"
                with naming(where):
                    content = archive.read(f"{key}.npy")
                joints = check_joints(numpy_array(content, where), where)
                items.append(Item(key, names.index(label), joints, person, where=where))
        return Index(names, items)
