"""EgoGestAR by the names of its files, wherever they lie: every scene that there is.

    root/**/testvideo_<class>_<serial>.mp4

Clips of one serial share a scene: they are a group. (GestARLite, arXiv 1904.09843.)
"""

import re
from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import Index, Item
from gesture3d.data.video.stream import VideoData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place

NAME = re.compile(r"testvideo_([a-z]+)_([0-9]{1,9})\.mp4")


class EgoGestARScenesData(VideoData):
    """EgoGestAR, all its scenes below ``root``. Groups: serials."""

    name: Literal["egogestar_scenes"]
    root: Place = Path("data/egogestar")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        from gesture3d.data.walk import Walk

        paths = {path.name: path for path in Walk().files_below(self.root, [".mp4"])}
        found = [(NAME.fullmatch(name), paths[name]) for name in sorted(paths)]
        clips = [(match[1], match[2], path) for match, path in found if match]
        if not clips:
            raise Gesture3dError(
                f"{self.root}: no testvideo_<class>_<serial>.mp4 in it or below; set data.root"
            )
        names = tuple(sorted({label for label, _, _ in clips}))
        items = [
            Item(path.name, names.index(label), path, str(int(serial)), where=str(path))
            for label, serial, path in clips
        ]
        return Index(names, items)
