"""The hands in Jester's clips, or in those of any set in its layout."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import Index
from gesture3d.data.skeleton.hands import HandsOfClips
from gesture3d.data.video.sets.jester import read_jester
from gesture3d.settings import Place


class JesterHandsData(HandsOfClips):
    """Jester v1 in its official layout, read by the hands in its clips."""

    name: Literal["jester_hands"]
    root: Place = Path("data/jester")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_jester(self.root, missing_ok=missing_ok)
