"""Recordings that run on: a class a sample, windows in training, whole recordings elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from gesture3d.data.index import Index, Item
from gesture3d.data.inertial.stream import InertialAugmentation, InertialData
from gesture3d.data.sets import Opened
from gesture3d.data.streams import (
    NOT_LEARNT,
    Prepare,
    StreamData,
    TimedFrame,
    check_pre_roll,
    check_shape,
    frame_labels,
    random_window,
    stream_classes,
)
from gesture3d.settings import Frames, Rate

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.data.batch import Sample
    from gesture3d.data.spec import InputSpec


class InertialStreams(StreamData, InertialData):
    """What every set of recordings that run on has.

    ``window`` is the length of a training sample, its pre-roll included; ``step`` and ``resample``
    are not used. Samples in no event are no part of the loss where the set has no class for them.
    """

    streams: ClassVar[bool] = True
    input_settings: ClassVar[frozenset[str]] = InertialData.input_settings | {"label_delay"}
    training_settings: ClassVar[tuple[str, ...]] = (
        *InertialData.training_settings,
        *("window", "pre_roll"),
    )

    rate_hz: Rate = 50.0
    causal_filters: bool = True
    window: Frames = 500
    pre_roll: Annotated[int, Field(ge=0, le=10_000)] = 100  # samples, see `random_window`

    @model_validator(mode="after")
    def _fits_streams(self) -> InertialStreams:
        check_pre_roll(self.pre_roll, self.window, "samples")
        if self.augmentation.time_warp or self.augmentation.shift:
            raise ValueError("augmentation.time_warp and shift are of windows, not of streams")
        if self.few_shot or self.balance:
            raise ValueError("few_shot and balance are there for samples of one class only")
        return self

    def open(self, index: Index, progress: bool) -> Opened:
        known = index.of("train") or index.items
        deviations = np.concatenate([i.content for i in known]).std(0, dtype=np.float64)
        return Opened(index, _ReadStream(self, index.class_names, deviations))

    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        from gesture3d.data.spec import InputSpec

        return InputSpec("sequences", (None, num_features), self.rate_hz, channel_names)

    def frames_of(self, path: Path, spec: InputSpec) -> Iterator[TimedFrame]:
        from gesture3d.data.inertial.recording import read_recording

        rate = self.recorded_hz
        for number, values in enumerate(read_recording(path, self._recorded, spec.channel_names)):
            yield values, number / rate, (number + 1) / rate

    def preparation(self, shape: tuple[int, ...]) -> Prepare:
        """Of a sensor's values (D,), ``recorded_hz`` a second."""
        import torch

        from gesture3d.data.inertial.causal import filter_chunk

        decimation = round(self.recorded_hz / self.rate_hz)
        filters, past, count = self._recorded, None, 0

        def prepare(values: np.ndarray) -> Tensor | None:
            nonlocal past, count
            check_shape(values, shape)
            found, past = filter_chunk(values[None], filters, past)
            count += 1
            return torch.from_numpy(found[0]) if count % decimation == 0 else None

        return prepare

    @property
    def _recorded(self) -> InertialStreams:
        """The same settings, of what was recorded, which is what filters act on."""
        return self.model_copy(update={"rate_hz": self.recorded_hz})


class _ReadStream:
    """Items as samples with a label a step."""

    def __init__(
        self, data: InertialStreams, class_names: tuple[str, ...], deviations: np.ndarray
    ) -> None:
        self._data, self._class_names, self._deviations = data, class_names, deviations
        self._changes = data.augmentation != InertialAugmentation()

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Sample:
        import torch

        from gesture3d.data.batch import Sample
        from gesture3d.data.inertial.transforms import augment

        values, data = item.content, self._data
        labels = activity_labels(item, data, self._class_names)
        if rng is not None:
            rows, labels = random_window(labels, data.window, data.pre_roll, rng)
            values = values[rows]
            if self._changes:
                values = augment(values, data.augmentation, self._deviations, rng)
        values = np.ascontiguousarray(values, dtype=np.float32)
        return Sample(item.key, torch.from_numpy(values), labels)


def activity_labels(item: Item, data: InertialStreams, class_names: tuple[str, ...]) -> np.ndarray:
    """(T,): `NOT_LEARNT` between the events, where that is none of the classes."""
    seconds = np.arange(len(item.content)) / data.rate_hz
    names = stream_classes(class_names)
    labels = frame_labels(item.events, seconds, names, data.label_delay)
    return np.where(labels == len(class_names), NOT_LEARNT, labels)
