"""Optical flow of whole data sets, computed once and stored beside them.

``<folder>/<key>.avi`` is a Motion-JPEG video of grey frames, readable by any player: frame t holds
the flow from frame t to frame t + 1 (the last one is repeated, so that both clips have the same
number of frames), the horizontal component above the vertical one. What the levels mean is said in
`data.video.pixels`. ``flow.json`` holds the settings. The method is OpenCV's DIS (Kroeger et
al., "Fast optical flow using dense inverse search", ECCV 2016), preset medium.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from tqdm import tqdm

from gesture3d.data.index import Index, Item, fingerprint
from gesture3d.data.video.depth import split_zip
from gesture3d.data.video.frames import ANY_FRAMES, FrameRules
from gesture3d.data.video.pixels import flow_to_frame
from gesture3d.data.video.prepared.places import flow_folder
from gesture3d.data.video.reading import VideoError, open_video, read_frames, read_opened
from gesture3d.errors import Gesture3dError
from gesture3d.files import atomic_path, write_text
from gesture3d.helpers import Helper, HelperDied, answer_questions, in_helpers, num_helpers

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


def prepare_flow(
    index: Index,
    folder: Path,
    *,
    short_side: int = SHORT_SIDE,
    num_workers: int | None = None,
    progress: bool = True,
    rules: FrameRules = ANY_FRAMES,
) -> dict[str, str]:
    """Compute what is missing or older than its clip, on all cores.

    Args:
        num_workers: processes; None for one per core.
        rules: how folders of frames are taken.

    Returns:
        Why clips have no flow now, by key; empty where all went well.

    Raises:
        Gesture3dError: the folder holds flow with other settings, or cannot be written to.
    """
    _check_settings(folder, short_side)
    todo = [clip for clip in index.items if not _is_done(clip, folder)]
    broken = {}
    hide = None if progress else True  # None: a bar on terminals only
    bar = tqdm(todo, unit="clip", desc="computing flow", disable=hide)
    for clip, reason in zip(
        bar, _compute(todo, folder, num_workers, short_side, rules), strict=True
    ):
        if reason.startswith("disk: "):
            raise Gesture3dError(f"cannot write optical flow to {folder}: {reason[6:]}")
        if reason:
            broken[clip.key] = reason
    return broken


def flow_index(index: Index, config: VideoData, missing_ok: Container[str] = ()) -> Index:
    """The same clips as optical flow: videos of this form, or folders of such frames.

    Raises:
        Gesture3dError: there is no flow of some clip that need be there.
    """
    folder = flow_folder(config)
    missing = []

    def flow_of(clip: Item) -> Item:
        path = next(
            (p for p in (target(folder, clip), folder / _inside(clip.key)) if p.exists()), None
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
    return folder / f"{_inside(clip.key)}.avi"


def _inside(key: str) -> str:
    """A key as a path that stays inside a folder and fits; others (absolute, long) are hashed."""
    path = Path(key)
    is_text = key == key.encode(errors="replace").decode()  # OpenCV crashes on other names
    fits = is_text and all(len(os.fsencode(part)) <= 251 for part in path.parts)
    return (
        key if fits and not path.is_absolute() and ".." not in path.parts else fingerprint([(key,)])
    )


def answer(short_side: str, *rules: str) -> None:
    """The helper process."""

    def compute_one(question: list[str], _: Callable[[Any], Any]) -> str:
        return _try_to_write(Path(question[0]), Path(question[1]), int(short_side), rules)

    answer_questions(compute_one)


def _compute(
    todo: list[Item], folder: Path, num_workers: int | None, short_side: int, rules: FrameRules
) -> Iterator[str]:
    workers = num_helpers(len(todo), num_workers)
    if workers <= 1:
        for clip in todo:
            yield _try_to_write(clip.path, target(folder, clip), short_side, rules)
        return

    def work(helper: Helper, clip: Item) -> str:
        try:
            return helper.ask([str(clip.path), str(target(folder, clip))])
        except HelperDied as death:
            return f"{clip.path}: {death}"

    helpers = [Helper(__name__, "answer", str(short_side), *rules) for _ in range(workers)]
    yield from in_helpers(helpers, todo, work)


def _try_to_write(source: Path, path: Path, short_side: int, rules: FrameRules) -> str:
    """What went wrong, or nothing."""
    try:
        write_flow(source, path, short_side, rules)
    except VideoError as error:
        return str(error)
    except OSError as error:
        return f"disk: {error.strerror or error}"
    return ""


def _is_done(clip: Item, folder: Path) -> bool:
    try:
        source = split_zip(clip.path)[0] or clip.path
        return target(folder, clip).stat().st_mtime_ns >= source.stat().st_mtime_ns
    except OSError:
        return False


def _check_settings(folder: Path, short_side: int) -> None:
    settings = {"format": FORMAT, "method": "DIS medium", "short_side": short_side}
    path = folder / "flow.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_text(path, json.dumps(settings) + "\n")
        return
    except (ValueError, RecursionError):
        raise Gesture3dError(f"{path} is damaged: delete {folder} to start anew") from None
    if found != settings:
        raise Gesture3dError(
            f"{folder} holds optical flow with other settings ({found}, asked for {settings}): "
            "give the same, or delete that folder"
        )
