"""What is done once before clips are read: known bad ones refused or left out, frames decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gesture3d.data.index import Index
from gesture3d.data.subset import without
from gesture3d.data.video.prepared.cache import FrameCache, JoinedCache, open_cache
from gesture3d.data.video.prepared.manifest import bad_clips, explain_bad_clips
from gesture3d.data.video.prepared.places import manifest_path, prepared_folder
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.video.stream import VideoData


def open_clips(
    index: Index, data: VideoData, progress: bool
) -> tuple[Index, FrameCache | JoinedCache | None, dict[str, str]]:
    """The clips that can be used, their frames where they are kept, and why others are left out."""
    index, left_out = refuse_bad_clips(index, data, progress)
    cache = build_cache(index, data, progress)
    if cache is not None and cache.broken:
        _say_left_out(cache.broken, progress)
        left_out |= cache.broken
        index = without(index, cache.broken)
    return index, cache, left_out


def build_cache(
    index: Index,
    data: VideoData,
    progress: bool,
    num_workers: int | None = None,
    shard: tuple[int, int] = (0, 1),
) -> FrameCache | JoinedCache | None:
    """The decoded frames of all clips, or of a shard of them; None where ``data.cache_size`` is
    null."""
    if data.cache_size is None:
        return None
    return open_cache(
        index.items,
        prepared_folder(data) / "cache",
        data.cache_size,
        num_workers,
        progress=progress,
        pixels=data.pixels,
        skip_broken=data.on_bad_clip == "exclude",
        modality=data.modality,
        rules=data.frame_rules,
        shard=shard,
    )


def refuse_bad_clips(index: Index, data: VideoData, progress: bool) -> tuple[Index, dict[str, str]]:
    """The index as it is, where the manifest of ``tools/prepare.py check`` has no bad clip in it.

    With ``data.on_bad_clip: exclude`` the bad clips are left out, and it is said how many.

    Returns:
        The index, and the reasons for the clips that were left out by key.

    Raises:
        Gesture3dError: there are bad clips, the first of which it names.
    """
    bad, unchecked = bad_clips(index, manifest_path(data))
    if unchecked and progress:
        print(f"{unchecked} clips have changed or are new since they were checked; check again")
    if bad and data.on_bad_clip == "fail":
        raise Gesture3dError(explain_bad_clips(bad, manifest_path(data)))
    if bad:
        _say_left_out(bad, progress)
    return without(index, bad), dict(bad)


def _say_left_out(broken: Mapping[str, str], progress: bool) -> None:
    if progress:
        first = "; ".join(list(broken.values())[:3]) + ("; ..." if len(broken) > 3 else "")
        print(f"{len(broken)} bad clips are left out (data.on_bad_clip: exclude): {first}")
