"""The hands in IsoGD's clips."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import Index
from gesture3d.data.skeleton.hands import HandsOfClips
from gesture3d.data.video.sets.isogd import read_isogd
from gesture3d.settings import Place


class IsoGDHandsData(HandsOfClips):
    """ChaLearn IsoGD with its official lists, read by the hands in its RGB clips."""

    name: Literal["isogd_hands"]
    root: Place = Path("data/isogd")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_isogd(self.root, missing_ok=missing_ok)
