"""The one way from a clip to the network's input, in evaluation: as numpy's arrays.

Nothing here loads PyTorch, so that processes that only decode start at once; see `clips` for
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.video import framing
from gesture3d.data.video.crops import Crop, evaluation_crops
from gesture3d.data.video.pixels import mirror_flow, prepare_frame
from gesture3d.data.video.reading import VideoError, VideoReader, begin_of, read_opened
from gesture3d.data.video.sampling import evaluation_indices, window_starts

if TYPE_CHECKING:
    from gesture3d.data.video.framing import Square
    from gesture3d.data.video.stream import VideoData

DEFAULT_RATE_HZ = 30.0  # of long videos without a clock
ChooseCrops = Callable[[int, int], list[Crop]]  # of a frame's height and width


def load_opened(path: Path, reader: VideoReader, data: VideoData) -> np.ndarray:
    """`load_clip` for a clip that is open already."""
    indices = _evaluation_indices(reader.num_frames, data)
    wanted, rows = np.unique(indices, return_inverse=True)
    _, clips = read_crops(path, reader, wanted, data, _evaluation_crops(data))
    return _stack_views(clips, rows.reshape(indices.shape), data)


def load_windows(
    path: Path, reader: VideoReader, data: VideoData, seconds: float
) -> Iterator[tuple[tuple[float, float], np.ndarray]]:
    """A long video in windows of ``seconds`` that overlap by half: (from when to when, clip).

    Each clip is what `load_clip` makes of a file of these frames; frames are decoded once, and kept
    while a window needs them. The last window ends with the video; without a clock, 30 frames are a
    second. Where the rate varies, windows are of as many frames, and last as the file's clock says.

    Raises:
        VideoError: the video cannot be decoded.
    """
    rate = reader.fps or DEFAULT_RATE_HZ
    length = min(max(round(seconds * rate), 1), reader.num_frames)
    starts = window_starts(reader.num_frames, length, max(length // 2, 1)).tolist()
    indices = _evaluation_indices(length, data)
    seen = framing.seen_in(length) if data.follows else indices
    offsets = np.union1d(indices, seen)
    rows = np.searchsorted(offsets, indices)
    decoded = _prepared(path, reader, np.unique(np.add.outer(starts, offsets)), data)
    frames: dict[int, np.ndarray] = {}
    for start in starts:
        frames = {number: frame for number, frame in frames.items() if number >= start}
        while start + int(offsets[-1]) not in frames:
            number, frame = next(decoded)
            frames[number] = frame
        chosen = np.stack([frames[start + offset] for offset in offsets.tolist()])
        if data.follows:
            square = framing.moving_part(chosen[np.searchsorted(offsets, seen)])
            chosen = np.stack([framing.cut(frame, square, data.cache_size) for frame in chosen])
        crops = _evaluation_crops(data)(*chosen.shape[1:3])
        clips = [crop.apply(chosen, data.size) for crop in crops]
        newest = int(offsets[-1])
        end = begin_of(reader, start + newest, rate) + (length - newest) / rate
        yield (begin_of(reader, start, rate), end), _stack_views(clips, rows, data)


def _prepared(
    path: Path, reader: VideoReader, indices: np.ndarray, data: VideoData
) -> Iterator[tuple[int, np.ndarray]]:
    size = None
    short = framing.kept_side(*reader.size) if data.follows else data.cache_size
    for number, frame in zip(indices.tolist(), reader.frames(indices), strict=True):
        kept = prepare_frame(frame, short, data.pixels, reader.is_bgr)
        size = size or kept.shape
        if kept.shape != size:
            raise VideoError(path, f"changes its frame size at frame {number}")
        kept = kept[..., ::-1] if reader.is_bgr and data.pixels in ("rgb", "followed") else kept
        yield number, kept.copy()  # the next one may lie in its memory


def clip_from_frames(
    frames: Sequence[np.ndarray] | np.ndarray, data: VideoData, square: Square | None = None
) -> np.ndarray:
    """`load_clip` for a clip that is decoded already: N frames, uint8 (H, W, C), RGB, any size.

    Args:
        square: where something moves in them; None where they are cut down to that already, or
            ``data.framing`` does not want it.
    """
    indices = _evaluation_indices(len(frames), data)
    wanted, rows = np.unique(indices, return_inverse=True)
    chosen = np.stack([frames[number] for number in wanted.tolist()])
    short = data.cache_size
    if square is not None:
        chosen = np.stack([framing.cut(frame, square, short) for frame in chosen])
    grey_wanted = data.pixels == "grey" and chosen.shape[3] == 3
    if grey_wanted or (short is not None and min(chosen.shape[1:3]) != short):
        pixels = "grey" if data.pixels == "grey" else "rgb"
        chosen = np.stack([prepare_frame(frame, short, pixels) for frame in chosen])
    crops = _evaluation_crops(data)(*chosen.shape[1:3])
    clips = [crop.apply(chosen, data.size) for crop in crops]
    return _stack_views(clips, rows.reshape(indices.shape), data)


def read_crops(
    path: Path, reader: VideoReader, indices: np.ndarray, data: VideoData, choose: ChooseCrops
) -> tuple[list[Crop], list[np.ndarray]]:
    """The crops that are chosen when the frames' size is known, and the clip (T, H, W, C) of each.

    They are cut out of every frame as soon as it is decoded: large frames are never kept.
    """
    crops: list[Crop] = []

    def view(frame: np.ndarray) -> np.ndarray:
        if not crops:
            crops.extend(choose(*frame.shape[:2]))
        cuts = [crop.cut(frame, data.size) for crop in crops]
        return cuts[0][None] if len(cuts) == 1 else np.stack(cuts)

    frames = read_opened(path, reader, indices, data.cache_size, data.pixels, view)
    return crops, [crop.finish(frames[:, k]) for k, crop in enumerate(crops)]


def _evaluation_indices(length: int, data: VideoData) -> np.ndarray:
    """(data.eval_clips, data.num_frames)."""
    return evaluation_indices(
        length, data.num_frames, data.eval_clips, data.sampling, data.frame_stride
    )


def _evaluation_crops(data: VideoData) -> ChooseCrops:
    return lambda height, width: evaluation_crops(height, width, data.eval_crops)


def _stack_views(clips: list[np.ndarray], rows: np.ndarray, data: VideoData) -> np.ndarray:
    """Each crop's clip (N, H, W, C) in each choice of frames, a row of ``rows``."""
    if len(rows) == 1 and np.array_equal(rows[0], np.arange(len(clips[0]))):
        views = clips
    else:
        views = [clip[view] for view in rows for clip in clips]
    return as_input(views[0] if len(views) == 1 else np.stack(views), data)


def as_input(frames: np.ndarray, data: VideoData) -> np.ndarray:
    """(..., H, W, C) → (..., C, H, W), in memory still in the order of decoded frames.

    What a mirroring camera took is turned back here, so that decoded frames stay the files'.
    """
    if data.mirrored_camera:
        frames = frames[..., ::-1, :]
        frames = mirror_flow(frames) if data.modality == "flow" else frames
    return np.moveaxis(np.ascontiguousarray(frames), -1, -3)
