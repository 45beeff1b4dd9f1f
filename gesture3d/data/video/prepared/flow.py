"""Optical flow of whole data sets, computed once and stored beside them.

``<folder>/<key>.avi`` is a Motion-JPEG video of grey frames, readable by any player: frame t holds
the flow from frame t to frame t + 1 (the last one is repeated, so that both clips have the same
number of frames), the horizontal component above the vertical one. What the levels mean is said in
`data.video.pixels`. ``flow.json`` holds the settings. The method is OpenCV's DIS (Kroeger et
al., "Fast optical flow using dense inverse search", ECCV 2016), preset medium.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from gesture3d.data.index import Index, Item
from gesture3d.data.video.frames import ANY_FRAMES, FrameRules
from gesture3d.data.video.pixels import flow_to_frame
from gesture3d.data.video.prepared.beside import Kept, inside
from gesture3d.data.video.prepared.places import flow_folder
from gesture3d.data.video.reading import VideoError, open_video, read_frames, read_opened
from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path

if TYPE_CHECKING:
    from gesture3d.data.video.stream import VideoData

FORMAT = 1
SHORT_SIDE = 120  # larger frames are scaled down to it before their flow is computed


def compute_flow(grey: np.ndarray) -> np.ndarray:
    """Flow in pixels, float32 (T, H, W, 2), of grey frames, uint8 (T, H, W); the last repeats."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*grey.shape, 2), np.float32)
    for t in range(len(grey) - 1):
        flow[t] = method.calc(grey[t], grey[t + 1], None)
    if len(grey) > 1:
        flow[-1] = flow[-2]
    return flow


def write_flow(
    source: Path, target: Path, short_side: int = SHORT_SIDE, rules: FrameRules = ANY_FRAMES
) -> None:
    """Compute the flow of a clip and write it, atomically.

    Raises:
        VideoError: the clip cannot be decoded.
        OSError: the flow cannot be written.
    """
    reader = open_video(source, rules=rules)
    side = min(short_side, *reader.size)
    grey = read_opened(source, reader, None, side, "grey")[..., 0]
    frames = np.stack([flow_to_frame(flow) for flow in compute_flow(grey)])
    height, width = frames.shape[1:]
    with atomic_path(target) as temporary:
        writer = cv2.VideoWriter(
            str(temporary),
            cv2.CAP_OPENCV_MJPEG,
            cv2.VideoWriter.fourcc(*"MJPG"),
            reader.fps or 12.0,
            (width, height),
        )
        for frame in frames:
            writer.write(cv2.merge([frame] * 3))  # its grey mode (isColor 0) writes other levels
        writer.release()
        if not _has_frames(temporary, len(frames)):  # OpenCV does not say when the disk is full
            raise OSError(f"{target} could not be written whole: is the disk full?")


def is_flow(path: Path) -> bool:
    """Whether a clip has the form of stored flow: grey frames in a folder or in Motion-JPEG.

    Raises:
        VideoError: the clip cannot be decoded.
    """
    frame = read_frames(path, [0])
    is_grey = bool((frame == frame[..., :1]).all())
    if path.is_dir() or not is_grey:
        return is_grey
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    return int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG")


def _has_frames(path: Path, count: int) -> bool:
    try:
        return open_video(path).num_frames == count
    except VideoError:
        return False


def write_one(source: Path, target: Path, short_side: str, *rules: str) -> None:
    """As `write_flow`, for `Kept`."""
    write_flow(source, target, int(short_side), rules)


def kept_flow(folder: Path, short_side: int = SHORT_SIDE, rules: FrameRules = ANY_FRAMES) -> Kept:
    """The flow in a folder."""
    settings = {"format": FORMAT, "method": "DIS medium", "short_side": short_side}
    how = (__name__, "write_one", (str(short_side), *rules))
    return Kept("optical flow", folder, ".avi", settings, "flow.json", *how)


def prepare_flow(
    index: Index,
    folder: Path,
    *,
    short_side: int = SHORT_SIDE,
    num_workers: int | None = None,
    progress: bool = True,
    rules: FrameRules = ANY_FRAMES,
) -> dict[str, str]:
    """Compute what is missing or older than its clip, see `Kept.complete`.

    Args:
        rules: how folders of frames are taken.
    """
    return kept_flow(folder, short_side, rules).complete(index, num_workers, progress)


def flow_index(index: Index, config: VideoData, missing_ok: Container[str] = ()) -> Index:
    """The same clips as optical flow: videos of this form, or folders of such frames.

    Raises:
        Gesture3dError: there is no flow of some clip that need be there.
    """
    folder = flow_folder(config)
    missing = []

    def flow_of(clip: Item) -> Item:
        path = next(
            (p for p in (target(folder, clip), folder / inside(clip.key)) if p.exists()), None
        )
        if path is None and clip.key not in missing_ok:
            missing.append(clip.key)
        return replace(clip, content=path or target(folder, clip))

    items = [flow_of(clip) for clip in index.items]
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise Gesture3dError(
            f"{len(missing)} clips have no optical flow in {folder}: {first}; compute it with "
            f"tools/prepare.py flow --data {config.name}"
        )
    return replace(index, items=items)


def target(folder: Path, clip: Item) -> Path:
    """Where the flow of a clip is kept."""
    return kept_flow(folder).path(clip)
