"""Anyone's clips, read by the hands in them: a folder per class, or a CSV that lists them."""

from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gesture3d.data.index import Index, refuse_same_files
from gesture3d.data.listing import ListedSet, read_listing
from gesture3d.data.skeleton.hands import TRACK_SUFFIX, HandsOfClips
from gesture3d.data.video.sets.folder import look_into
from gesture3d.settings import Place


class HandFolderData(ListedSet, HandsOfClips):
    """Anyone's clips: ``root/<class>/<clip>``, videos or files of hands (.npz), or a CSV of path,
    label, split and group. The hands of each clip are found once, and kept as
    ``tools/prepare.py joints --data folder`` keeps them."""

    name: Literal["hand_folder"]
    root: Place = Path("data/clips")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        find = partial(_clips_of, self.root)
        index = read_listing(self, find, Path, progress, missing_ok)
        refuse_same_files(item.path for item in index.items)
        return index


def _clips_of(root: Path, class_folder: Path, walk: Any) -> list[Path]:
    from gesture3d.data.walk import divided, is_clip

    files, folders = walk.enter(class_folder)
    for folder in folders:
        look_into(folder, root, walk)
    clips, others = divided(files, lambda p: p.suffix.lower() == TRACK_SUFFIX or is_clip(p))
    walk.leave_out(others)
    return sorted([*clips, *folders])
