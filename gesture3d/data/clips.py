"""Clips as a PyTorch data set: the one way from a file to the network's input."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gesture3d.config import VideoData
from gesture3d.data.batch import Sample
from gesture3d.data.index import Clip, ClipIndex
from gesture3d.data.sampling import uniform_indices
from gesture3d.data.transforms import central_crop, random_crop
from gesture3d.data.video import open_video, read_opened, resize_short_side
from gesture3d.errors import Gesture3dError
from gesture3d.rng import generator

__all__ = ["Clip", "ClipDataset", "ClipIndex", "clip_from_frames", "load_clip"]


def load_clip(path: Path, data: VideoData) -> Tensor:
    """A clip as evaluation sees it: uniform frames, short side to ``cache_size``, central crop.

    Returns:
        uint8 (T, C, H, W) with T = ``data.num_frames``, H = W = ``data.size``.

    Raises:
        VideoError: the clip cannot be decoded.
    """
    reader = open_video(path)
    indices = uniform_indices(reader.num_frames, data.num_frames)
    return _evaluation_input(read_opened(path, reader, indices, data.cache_size), data)


def clip_from_frames(frames: np.ndarray, data: VideoData) -> Tensor:
    """`load_clip` for a clip that is decoded already: uint8 (N, H, W, 3), RGB, any size."""
    frames = frames[uniform_indices(len(frames), data.num_frames)]
    if data.cache_size is not None and min(frames.shape[1:3]) != data.cache_size:
        frames = np.stack([resize_short_side(frame, data.cache_size) for frame in frames])
    return _evaluation_input(frames, data)


def _evaluation_input(frames: np.ndarray, data: VideoData) -> Tensor:
    return _to_tensor(central_crop(*frames.shape[1:3]).apply(frames, data.size))


def _to_tensor(clip: np.ndarray) -> Tensor:
    """(T, H, W, C) → (T, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2)))


class ClipDataset(Dataset):
    """Clips, ready for the network: ``dataset[epoch, index]`` → `Sample`.

    Stateless: what happens to a clip in training is drawn from ``generator(seed, epoch, key)``.
    A plain ``dataset[index]`` is epoch 0.

    Args:
        clips: the clips of one split.
        training: random frames, crop and colours; else exactly `load_clip`.
        cache: decoded frames by key (see `gesture3d.data.cache`); None decodes the files.
        mirror: which classes swap in a mirror (see `ClipIndex`).

    Attributes:
        keys: the clips' keys.
        labels: (N,) int64, -1 where unknown.
        class_names: the names of the labels.

    Raises:
        Gesture3dError: flipping is asked for and the data set declares no ``mirror``.
    """

    def __init__(
        self,
        clips: list[Clip],
        class_names: tuple[str, ...],
        data: VideoData,
        training: bool,
        seed: int,
        cache: Mapping[str, np.ndarray] | None = None,
        mirror: dict[str, str] | None = None,
    ) -> None:
        if training and data.augmentation.horizontal_flip and mirror is None:
            raise Gesture3dError(
                "data.augmentation.horizontal_flip: this data set does not declare which classes "
                "swap in a mirror; set it to false"
            )
        self.clips = clips
        self.class_names = tuple(class_names)
        self.data = data
        self.training = training
        self.seed = seed
        self.cache = cache
        self.keys = [clip.key for clip in clips]
        self.labels = np.array([clip.label for clip in clips], dtype=np.int64)
        self._mirrored_label = _mirrored_labels(self.class_names, mirror or {})

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, position: tuple[int, int] | int) -> Sample:
        epoch, index = position if isinstance(position, tuple) else (0, position)
        clip = self.clips[index]
        if self.training:
            return self._training_sample(clip, generator(self.seed, epoch, clip.key))
        if self.cache is None:
            return Sample(clip.key, load_clip(clip.path, self.data), clip.label)
        return Sample(clip.key, clip_from_frames(self.cache[clip.key], self.data), clip.label)

    def _training_sample(self, clip: Clip, rng: np.random.Generator) -> Sample:
        data = self.data
        frames = None if self.cache is None else self.cache[clip.key]
        reader = open_video(clip.path) if frames is None else None
        length = len(frames) if reader is None else reader.num_frames
        span = data.augmentation.time_span
        indices = uniform_indices(length, data.num_frames, rng, span, data.temporal_jitter)
        if reader is None:
            frames = frames[indices]
        else:
            frames = read_opened(clip.path, reader, indices, data.cache_size)
        crop = random_crop(*frames.shape[1:3], data.augmentation, rng)
        label = self._mirrored_label[clip.label] if crop.flip and clip.label >= 0 else clip.label
        return Sample(clip.key, _to_tensor(crop.apply(frames, data.size)), label)


def _mirrored_labels(class_names: tuple[str, ...], mirror: dict[str, str]) -> list[int]:
    """The label that each label becomes in a mirror."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return [numbers[mirror.get(name, name)] for name in class_names]
