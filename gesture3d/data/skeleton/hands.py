"""What networks that read hands (``data.hands``) take: files of hands, and clips with hands."""

from __future__ import annotations

import functools
import threading
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.index import Index
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Frames

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.hands.track import HandTrack
    from gesture3d.hands.tracker import HandTracker

TRACK_SUFFIX = ".npz"  # of a `HandTrack`
_one_at_a_time = threading.Lock()


class HandsData(SkeletonData):
    """A set of hands: what is trained on it reads clips, too, and finds the hands in them."""

    hands: bool = True
    num_frames: Frames | None = 32
    # The camera shows people as a mirror does: what is found is turned back.
    mirrored_camera: bool = False

    @property
    def finds_hands(self) -> bool:
        return self.hands

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
            return self.joints_in(HandTrack.load(path))
        with _one_at_a_time:
            return self.joints_in(read_track(path, _tracker()))

    def joints_in(self, track: HandTrack) -> np.ndarray:
        """(T, 42, 3), pixels: the left, then the right hand; 0 where not seen."""
        track = track.mirrored() if self.mirrored_camera else track
        return np.nan_to_num(track.joints).reshape(len(track), -1, 3)


class HandsOfClips(HandsData):
    """A set of clips, or of files of hands. The hands in each clip are found once, and kept as
    ``tools/prepare.py joints`` keeps them."""

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
        joints = {key: self.joints_in(HandTrack.load(path)) for key, path in paths.items()}
        items = [replace(item, content=joints[item.key]) for item in index.items]
        return super().present(replace(index, items=items))


@functools.cache
def _tracker() -> HandTracker:
    from gesture3d.hands.tracker import HandTracker

    return HandTracker()
