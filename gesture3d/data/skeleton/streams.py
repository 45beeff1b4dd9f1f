"""Streams of joints with events in them: windows in training, whole streams elsewhere.

Nothing looks ahead: joints are centred and scaled by what was there before, so that a stream has
the same features while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from gesture3d.data.index import Index, Item
from gesture3d.data.sets import Opened
from gesture3d.data.skeleton.stream import SkeletonAugmentation, SkeletonData
from gesture3d.data.streams import (
    Prepare,
    StreamData,
    TimedFrame,
    check_pre_roll,
    check_shape,
    frame_labels,
    random_window,
)
from gesture3d.errors import naming
from gesture3d.events import NO_GESTURE
from gesture3d.settings import Fraction, Frames, Rate

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.data.batch import Sample
    from gesture3d.data.spec import InputSpec


class SkeletonStreams(StreamData, SkeletonData):
    """What every set of streams of joints has."""

    streams: ClassVar[bool] = True
    input_settings: ClassVar[frozenset[str]] = SkeletonData.input_settings | {
        "rate_hz",
        "label_delay",
    }
    training_settings: ClassVar[tuple[str, ...]] = (
        *SkeletonData.training_settings,
        *("window", "pre_roll", "gesture_share"),
    )

    centre: Literal["none", "every_frame", "running_mean"] = "running_mean"
    num_frames: None = None
    window: Frames = 160  # of a training sample, its pre-roll included
    rate_hz: Rate = 20.0
    pre_roll: Annotated[int, Field(ge=0, le=10_000)] = 40  # frames, see `random_window`
    gesture_share: Fraction = 0.0  # of the windows that have some of a gesture for certain

    @model_validator(mode="after")
    def _fits_streams(self) -> SkeletonStreams:
        check_pre_roll(self.pre_roll, self.window)
        plain = SkeletonAugmentation()
        for name in ("time_warp", "speed", "joint_dropout", "one_at_a_time"):
            if getattr(self.augmentation, name) != getattr(plain, name):
                raise ValueError(f"augmentation.{name} is not there for streams: leave it out")
        for name in ("few_shot", "balance"):
            if getattr(self, name):
                raise ValueError(f"{name} is there for samples of one class only: leave it out")
        return self

    def open(self, index: Index, progress: bool) -> Opened:
        return Opened(index, _ReadStream(self, index.class_names))

    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        from gesture3d.data.spec import InputSpec

        return InputSpec("sequences", (None, num_features), self.rate_hz, channel_names)

    def frames_of(self, path: Path, spec: InputSpec) -> Iterator[TimedFrame]:
        for number, joints in enumerate(self.joints_of(path)):
            yield joints, number / self.rate_hz, (number + 1) / self.rate_hz

    def preparation(self, shape: tuple[int, ...]) -> Prepare:
        """Of joints (J, C)."""
        import torch

        from gesture3d.data.skeleton.files import check_joints
        from gesture3d.data.skeleton.transforms import features_of_chunk

        past = None

        def prepare(joints: np.ndarray) -> Tensor:
            nonlocal past
            check_shape(joints, shape)
            found, past = features_of_chunk(check_joints(joints[None], "a frame"), self, past)
            return torch.from_numpy(found[0])

        return prepare

    @property
    def by_length(self) -> bool:
        return False


class _ReadStream:
    """Items as samples with a label a frame."""

    def __init__(self, data: SkeletonStreams, class_names: tuple[str, ...]) -> None:
        self._data, self._class_names = data, class_names

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Sample:
        import torch

        from gesture3d.data.batch import Sample
        from gesture3d.data.skeleton.transforms import features

        joints, data = item.content, self._data
        seconds = np.arange(len(joints)) / data.rate_hz
        labels = frame_labels(item.events, seconds, self._class_names, data.label_delay)
        if rng is not None:
            around = None
            if data.gesture_share and rng.random() < data.gesture_share:
                around = np.flatnonzero(labels != self._class_names.index(NO_GESTURE))
            frames, labels = random_window(labels, data.window, data.pre_roll, rng, around)
            joints = joints[frames]
        with naming(item.place):
            return Sample(item.key, torch.from_numpy(features(joints, data, rng)), labels)
