"""Anyone's clips: a folder per class, or a CSV of path, label and perhaps split and group.

A clip is a video file, whatever its name ends in, or a folder of frames.
"""

import os
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gesture3d.data.index import Index
from gesture3d.data.listing import ListedSet, read_listing, refuse_layout
from gesture3d.data.video.stream import Modality, VideoData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Fraction, Place


class FolderData(ListedSet, VideoData):
    """Anyone's clips: ``root/<class>/<clip>``, or a CSV of path, label, split and group."""

    name: Literal["folder"]
    root: Place = Path("data/clips")
    # depth: folders of 16-bit frames (mm, 0 = nothing there), or clips that show depth in grey.
    modality: Modality = "rgb"
    validation_share: Fraction = 0.2

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        go_on = self.on_bad_clip == "exclude"
        find = partial(_clips_of, self.root)
        return read_listing(self, find, Path, progress, missing_ok, go_on)


def _clips_of(root: Path, class_folder: Path, walk: Any) -> list[Path]:
    from gesture3d.data.walk import divided, is_clip, is_frame

    if walk.has_entered(class_folder):
        raise Gesture3dError(f"{class_folder}: a link to a folder that is another class")
    num_problems = len(walk.problems)
    files, folders = walk.enter(class_folder)
    clips, others = divided(files, is_clip)
    for folder in folders:
        if not walk.has_entered(folder):
            look_into(folder, root, walk)
            clips.append(folder)
    if not clips and any(is_frame(path) for path in others):
        raise Gesture3dError(
            f"{class_folder}: holds frames, where a class holds clips: expected "
            f"{class_folder}/<clip>/00001.jpg, ..."
        )
    walk.leave_out(others)
    if not clips and len(walk.problems) == num_problems:
        left_out = walk.left_out()
        raise Gesture3dError(
            f"{class_folder}: no clips of this class in it{f' ({left_out})' if left_out else ''}"
        )
    return sorted(clips)


def look_into(folder: Path, root: Path, walk: Any) -> None:
    """Count what lies beside a clip's frames; raise where there are clips or folders instead."""
    from gesture3d.data.walk import is_clip, is_frame, is_litter

    try:
        names = [name for name in os.listdir(folder) if not is_litter(name)]  # noqa: PTH208 (many)
    except OSError:
        return  # which is found out when the clip is read
    others = [folder / name for name in sorted(names) if not is_frame(Path(name))]
    if len(others) < len(names):
        walk.leave_out(path for path in others if not os.path.isdir(path))  # noqa: PTH112
        return
    inside = next((p for p in others if os.path.isdir(p) or is_clip(p)), None)  # noqa: PTH112
    if inside is not None:
        refuse_layout(inside, root, ", a clip being a video file or a folder of frames")
