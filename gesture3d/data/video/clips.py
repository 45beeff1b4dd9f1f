"""The one way from a clip to the network's input, in training and in evaluation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gesture3d.data.batch import BrokenSample, Sample
from gesture3d.data.index import Index, Item
from gesture3d.data.video import evaluated, framing
from gesture3d.data.video.crops import Crop, random_crop
from gesture3d.data.video.pixels import mirror_flow, reverse_flow
from gesture3d.data.video.reading import (
    VideoError,
    VideoReader,
    check_steady,
    open_video,
    read_opened,
)
from gesture3d.data.video.sampling import random_dense_indices, uniform_indices
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from gesture3d.data.video.framing import Square
    from gesture3d.data.video.stream import VideoData

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
    return _load_opened(path, open_video(path, rules=data.frame_rules), data)


def clip_from_frames(
    frames: Sequence[np.ndarray] | np.ndarray, data: VideoData, square: Square | None = None
) -> Tensor:
    """`load_clip` for a clip that is decoded already, see `evaluated.clip_from_frames`."""
    return torch.from_numpy(evaluated.clip_from_frames(frames, data, square))


def to_tensor(frames: np.ndarray, data: VideoData) -> Tensor:
    """(..., H, W, C) → (..., C, H, W), see `evaluated.as_input`."""
    return torch.from_numpy(evaluated.as_input(frames, data))


def _load_opened(path: Path, reader: VideoReader, data: VideoData) -> Tensor:
    return torch.from_numpy(evaluated.load_opened(path, reader, data))


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
                inputs = _load_opened(clip.path, _open(clip, self.data), self.data)
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
        frames = read_opened(clip.path, reader, None, data.cache_size, data.pixels)
        if data.streams:
            check_steady(clip.path, reader)
        return frames

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
        crops, clips = evaluated.read_crops(
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
