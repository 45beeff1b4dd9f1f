"""The one way from a clip to the network's input, in training and in evaluation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gesture3d.data.batch import BrokenSample, Sample
from gesture3d.data.index import Index, Item
from gesture3d.data.video import framing
from gesture3d.data.video.crops import Crop, evaluation_crops, random_crop
from gesture3d.data.video.pixels import mirror_flow, prepare_frame, reverse_flow
from gesture3d.data.video.reading import VideoError, VideoReader, open_video, read_opened
from gesture3d.data.video.sampling import (
    evaluation_indices,
    random_dense_indices,
    uniform_indices,
    window_starts,
)
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.video.framing import Square
    from gesture3d.data.video.stream import VideoData

DEFAULT_RATE_HZ = 30.0  # of long videos without a clock
ChooseCrops = Callable[[int, int], list[Crop]]  # of a frame's height and width
Change = Callable[[str, np.ndarray], np.ndarray]  # (key, frames (N, H, W, C)) → (N', H, W, C)


def load_clip(path: Path, data: VideoData) -> Tensor:
    """A clip as evaluation sees it: evenly spread frames, short side to ``cache_size``, crops.

    Returns:
        uint8 (T, C, H, W) with T = ``data.num_frames``, H = W = ``data.size``, C =
        ``data.num_channels``; or (V, T, C, H, W) where evaluation averages over V =
        ``data.eval_clips`` · ``data.eval_crops`` > 1 views.

    Raises:
        VideoError: the clip cannot be decoded.
    """
    return load_opened(path, open_video(path, rules=data.frame_rules), data)


def load_windows(
    path: Path, reader: VideoReader, data: VideoData, seconds: float
) -> Iterator[tuple[tuple[float, float], Tensor]]:
    """A long video in windows of ``seconds`` that overlap by half: (from when to when, clip).

    Each clip is what `load_clip` makes of a file of these frames; frames are decoded once, and kept
    while a window needs them. The last window ends with the video; without a clock, 30 frames are a
    second.

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
        span = start / rate, (start + length) / rate
        yield span, _stack_views(clips, rows, data)


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
) -> Tensor:
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


def load_opened(path: Path, reader: VideoReader, data: VideoData) -> Tensor:
    """`load_clip` for a clip that is open already."""
    indices = _evaluation_indices(reader.num_frames, data)
    wanted, rows = np.unique(indices, return_inverse=True)
    _, clips = _read_crops(path, reader, wanted, data, _evaluation_crops(data))
    return _stack_views(clips, rows.reshape(indices.shape), data)


def _read_crops(
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


def _stack_views(clips: list[np.ndarray], rows: np.ndarray, data: VideoData) -> Tensor:
    """Each crop's clip (N, H, W, C) in each choice of frames, a row of ``rows``."""
    if len(rows) == 1 and np.array_equal(rows[0], np.arange(len(clips[0]))):
        views = clips
    else:
        views = [clip[view] for view in rows for clip in clips]
    return to_tensor(views[0] if len(views) == 1 else np.stack(views), data)


def to_tensor(frames: np.ndarray, data: VideoData) -> Tensor:
    """(..., H, W, C) → (..., C, H, W), in memory still in the order of decoded frames.

    What a mirroring camera took is turned back here, so that decoded frames stay the files'.
    """
    if data.mirrored_camera:
        frames = frames[..., ::-1, :]
        frames = mirror_flow(frames) if data.modality == "flow" else frames
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3)


class ReadClip:
    """Items as samples: random frames, crop and colours in training, else exactly `load_clip`.

    A clip that cannot be read raises `VideoError`, or with ``data.on_bad_clip: exclude`` gives a
    `BrokenSample`.

    Args:
        index: tells which classes swap in a mirror and backwards.
        cache: decoded frames by key (see `prepared.cache`); None decodes the files.

    Raises:
        Gesture3dError: flipping (or reversal) is asked for and the data set declares no
            ``mirror`` (or ``reversal``).
    """

    def __init__(
        self, data: VideoData, index: Index, cache: Mapping[str, np.ndarray] | None = None
    ) -> None:
        augmentation = data.augmentation
        for name, wanted, declared, how in (
            ("horizontal_flip", augmentation.horizontal_flip, index.mirror, "in a mirror"),
            ("time_reversal", augmentation.time_reversal, index.reversal, "when played backwards"),
        ):
            if wanted and declared is None:
                raise Gesture3dError(
                    f"data.augmentation.{name}: this data set, or its chosen classes, does not "
                    f"declare which classes swap {how}; set it to false"
                )
        self.data = data
        self.cache = cache
        self.change: Change | None = None
        self._mirrored_label = _swapped_labels(index.class_names, index.mirror or {})
        self._reversed_label = _swapped_labels(index.class_names, index.reversal or {})

    def __call__(self, clip: Item, rng: np.random.Generator | None) -> Sample | BrokenSample:
        try:
            if rng is not None:
                return self._training_sample(clip, rng)
            if self.change:
                changed = self.change(clip.key, self.all_frames(clip))
                moves = framing.moving_part(changed) if self.data.follows else None
                inputs = clip_from_frames(changed, self.data, moves)
            elif self.cache is None:
                inputs = load_opened(clip.path, _open(clip, self.data), self.data)
            else:
                inputs = clip_from_frames(self.cache[clip.key], self.data)
        except VideoError as error:
            if self.data.on_bad_clip == "fail":
                raise
            return BrokenSample(clip.key, str(error))
        return Sample(clip.key, inputs, clip.label)

    def changed(self, change: Change) -> ReadClip:
        """The same, but in evaluation every clip's frames are changed before any is chosen."""
        other = copy.copy(self)
        other.change = change
        return other

    def all_frames(self, clip: Item) -> np.ndarray:
        """Every whole frame, scaled to ``data.cache_size`` (or as large as squares are cut out of):
        uint8 (N, H, W, C), not to be written to.

        Raises:
            VideoError: the clip cannot be decoded.
        """
        data = self.data
        if self.cache is not None and not data.follows:
            return self.cache[clip.key]
        reader = _open(clip, data)
        if data.follows:
            return read_opened(clip.path, reader, None, framing.kept_side(*reader.size))
        return read_opened(clip.path, reader, None, data.cache_size, data.pixels)

    def _training_sample(self, clip: Item, rng: np.random.Generator) -> Sample:
        data = self.data
        crop, frames = self._training_crop(clip, rng)
        label = clip.label
        if crop.flip:
            frames = mirror_flow(frames) if data.modality == "flow" else frames
            label = self._mirrored_label[label] if label >= 0 else label
        if data.augmentation.time_reversal and rng.random() < 0.5:
            frames = frames[::-1]
            frames = reverse_flow(frames) if data.modality == "flow" else frames
            label = self._reversed_label[label] if label >= 0 else label
        return Sample(clip.key, to_tensor(frames, data), label)

    def _training_crop(self, clip: Item, rng: np.random.Generator) -> tuple[Crop, np.ndarray]:
        data = self.data
        if self.cache is not None:
            frames = self.cache[clip.key]
            frames = frames[_training_indices(len(frames), data, rng)]
            crop = random_crop(*frames.shape[1:3], data.augmentation, rng)
            return crop, crop.apply(corrupted(frames, data, rng), data.size)
        reader = _open(clip, data)
        indices = _training_indices(reader.num_frames, data, rng)
        if data.augmentation.corruption:  # of whole frames, before the crop
            frames = read_opened(clip.path, reader, indices, data.cache_size, data.pixels)
            crop = random_crop(*frames.shape[1:3], data.augmentation, rng)
            return crop, crop.apply(corrupted(frames, data, rng), data.size)
        crops, clips = _read_crops(
            clip.path,
            reader,
            indices,
            data,
            lambda height, width: [random_crop(height, width, data.augmentation, rng)],
        )
        return crops[0], clips[0]


def _training_indices(length: int, data: VideoData, rng: np.random.Generator) -> np.ndarray:
    if data.sampling == "dense":
        return random_dense_indices(length, data.num_frames, data.frame_stride, rng)
    span = data.augmentation.time_span
    return uniform_indices(length, data.num_frames, rng, span, data.temporal_jitter)


def corrupted(frames: np.ndarray, data: VideoData, rng: np.random.Generator) -> np.ndarray:
    """Frames (T, H, W, C) to which with ``augmentation.corruption`` one or two things happen."""
    share = data.augmentation.corruption
    if not share or rng.random() >= share:
        return frames
    from gesture3d.data.video.corruptions import CORRUPTIONS

    fitting = [
        corruption
        for corruption in CORRUPTIONS.values()
        if data.modality in corruption.modalities and not corruption.temporal
    ]
    for choice in rng.choice(len(fitting), rng.integers(1, 3), replace=False):
        frames = fitting[choice](frames, rng.random(), rng, data.modality)
    return frames


def _open(clip: Item, data: VideoData) -> VideoReader:
    """Open a clip, which must have the frames that its list promises."""
    reader = open_video(clip.path, rules=data.frame_rules)
    if clip.num_frames is not None and reader.num_frames != clip.num_frames:
        found = reader.num_frames
        raise VideoError(clip.path, f"has {found} frames, its list says {clip.num_frames}")
    return reader


def _swapped_labels(class_names: tuple[str, ...], pairs: dict[str, str]) -> list[int]:
    """The label that each label becomes."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return [numbers[pairs.get(name, name)] for name in class_names]
