"""Anyone's clips, read by the hands in them: a folder per class, or a CSV that lists them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gesture3d.data.index import Index
from gesture3d.data.listing import ListedSet, read_listing
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Frames, Place

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.hands.track import HandTrack
    from gesture3d.hands.tracker import HandTracker

TRACK_SUFFIX = ".npz"  # of a `HandTrack`
_one_at_a_time = threading.Lock()


class HandFolderData(ListedSet, SkeletonData):
    """Anyone's clips: ``root/<class>/<clip>``, videos or files of hands (.npz), or a CSV of path,
    label, split and group. The hands of each clip are found once, and kept as
    ``tools/prepare.py joints --data folder`` keeps them."""

    name: Literal["hand_folder"]
    root: Place = Path("data/clips")
    hands: bool = True
    num_frames: Frames | None = 32
    # The camera shows people as a mirror does: what is found is turned back.
    mirrored_camera: bool = False

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_listing(self, _clips_of, Path, progress, missing_ok)

    def present(self, index: Index, missing_ok: Container[str] = ()) -> Index:
        """The joints in place of the clips.

        Raises:
            Gesture3dError: a clip that cannot be decoded; no networks that find hands.
        """
        from gesture3d.data.video.prepared.joints import kept_joints
        from gesture3d.data.video.prepared.places import joints_folder
        from gesture3d.hands.track import HandTrack

        kept = kept_joints(joints_folder(self))
        clips = [item for item in index.items if item.path.suffix.lower() != TRACK_SUFFIX]
        broken = kept.complete(replace(index, items=clips)) if clips else {}
        if broken:
            more = f"; and {len(broken) - 1} more clips" if len(broken) > 1 else ""
            raise Gesture3dError(f"{next(iter(broken.values()))}{more}; or leave it out")
        paths = {item.key: item.path for item in index.items}
        paths |= {item.key: kept.path(item) for item in clips}
        joints = {key: self._joints(HandTrack.load(path)) for key, path in paths.items()}
        items = [replace(item, content=joints[item.key]) for item in index.items]
        return super().present(replace(index, items=items))

    @property
    def suffixes(self) -> frozenset[str]:
        from gesture3d.data.video.reading import VIDEO_SUFFIXES

        return frozenset({*VIDEO_SUFFIXES, TRACK_SUFFIX})

    def load(self, path: Path) -> Tensor:
        joints = self.joints_of(path)
        count = int(joints.any(axis=(1, 2)).sum())
        if count < 2:
            raise Gesture3dError(
                f"{path}: a hand is seen in {count} of {len(joints)} frames; it takes two at least"
            )
        return self._features(joints, path)

    def joints_of(self, path: Path) -> np.ndarray:
        from gesture3d.data.video.prepared.joints import read_track
        from gesture3d.hands.track import HandTrack

        if path.suffix.lower() == TRACK_SUFFIX:
            return self._joints(HandTrack.load(path))
        with _one_at_a_time:
            return self._joints(read_track(path, _tracker()))

    def _joints(self, track: HandTrack) -> np.ndarray:
        """(T, 42, 3), pixels: the left, then the right hand; 0 where not seen."""
        track = track.mirrored() if self.mirrored_camera else track
        return np.nan_to_num(track.joints).reshape(len(track), -1, 3)


@functools.cache
def _tracker() -> HandTracker:
    from gesture3d.hands.tracker import HandTracker

    return HandTracker()


def _clips_of(class_folder: Path, walk: Any) -> list[Path]:
    from gesture3d.data.walk import divided, is_clip

    files, folders = walk.enter(class_folder)
    clips, others = divided(files, lambda p: p.suffix.lower() == TRACK_SUFFIX or is_clip(p))
    walk.leave_out(others)
    return sorted([*clips, *folders])
