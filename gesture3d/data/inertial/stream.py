"""Inertial recordings: the settings of every set, and windows of them as samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from gesture3d.data.index import Index, Item
from gesture3d.data.inertial.recording import RECORDING_SUFFIXES, Columns, cut_recording
from gesture3d.data.sets import Cut, DataSet, Opened
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Factor, Fraction, NonNegative, PositiveInt, Rate, Section

if TYPE_CHECKING:
    from gesture3d.data.batch import Sample
    from gesture3d.data.spec import InputSpec


class InertialAugmentation(Section):
    """Random changes of training windows, in physical units; none by default.

    See `gesture3d.data.inertial.transforms`.
    """

    rotation_degrees: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0  # largest, about any axis
    scale: tuple[Factor, Factor] = (1.0, 1.0)  # one factor per window, drawn from this range
    noise: NonNegative = 0.0  # relative to each channel's deviation
    time_warp: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # largest relative change of speed
    shift: Fraction = 0.0  # largest shift in time, as a share of the window

    @model_validator(mode="after")
    def _range_ascends(self) -> InertialAugmentation:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be [low, high] with 0 < low <= high, not {self.scale}")
        return self


class InertialData(DataSet):
    """What every set of inertial recordings has: filters, windows and augmentation.

    Filters act on whole recordings, in this order (0 or None: left out); see
    `gesture3d.data.inertial.signal.prepare`. Groups are the subjects.
    """

    stream: ClassVar[str] = "inertial"
    input_settings: ClassVar[frozenset[str]] = frozenset(
        (
            *("rate_hz", "median_steps", "lowpass_hz", "gravity_hz", "causal_filters"),
            *("window", "step", "resample"),
        )
    )

    rate_hz: Rate = 50.0
    median_steps: Annotated[int, Field(ge=0, le=10_000)] = (
        0  # median filter over so many samples, odd
    )
    lowpass_hz: Rate | None = None  # 3rd-order Butterworth
    # Split the first three channels (total acceleration) below this into gravity and body: the
    # channels become body acceleration, the others, total acceleration.
    gravity_hz: Rate | None = None
    # Filters that see nothing of the future, and delay what they pass: as a stream is filtered.
    causal_filters: bool = False
    # Gaps (NaN) are interpolated up to this; longer ones are errors. None: any length.
    max_gap_seconds: Annotated[float, Field(gt=0.0, le=1e9)] | None = 0.5
    window: Annotated[int, Field(ge=2, le=100_000)] = 128  # samples
    step: PositiveInt = 64  # samples from one window's start to the next one's
    # Stretch whole recordings to `window` samples instead of cutting windows out of them.
    resample: bool = False
    augmentation: InertialAugmentation = InertialAugmentation()

    @model_validator(mode="after")
    def _filters_are_possible(self) -> InertialData:
        if self.median_steps and self.median_steps % 2 == 0:
            raise ValueError(f"median_steps must be odd or 0, not {self.median_steps}")
        for name in ("lowpass_hz", "gravity_hz"):
            value = getattr(self, name)
            if value is not None and value >= self.rate_hz / 2:
                raise ValueError(f"{name} {value} must be below rate_hz / 2 = {self.rate_hz / 2}")
        return self

    @property
    def columns(self) -> Columns:
        """How files of recordings name what is no channel."""
        return Columns()

    def open(self, index: Index, progress: bool) -> Opened:
        """Raises Gesture3dError: rotations of channels that are no vectors of three."""
        windows = [item.content for item in index.of("train") or index.items]
        channels = windows[0].shape[1] if windows else 0
        if self.augmentation.rotation_degrees and channels % 3:
            raise Gesture3dError(
                f"data.augmentation.rotation_degrees turns vectors of three channels; the data has "
                f"{channels} channels"
            )
        return Opened(index, _ReadWindow(self.augmentation, np.stack(windows)))

    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        from gesture3d.data.spec import InputSpec

        return InputSpec("sequences", (self.window, num_features), self.rate_hz, channel_names)

    @property
    def suffixes(self) -> frozenset[str]:
        return RECORDING_SUFFIXES

    def is_input(self, path: Path) -> bool:
        """Of text files only HAPT's acc_….txt, beside which is its gyro_….txt."""
        return path.suffix.lower() != ".txt" or path.name.startswith("acc_")

    def cut(self, path: Path, spec: InputSpec) -> Cut:
        """Windows that cover the recording; with ``resample`` one of all of it."""
        return cut_recording(path, self, spec)


class _ReadWindow:
    """Items (T, D) in physical units as samples, float32, in training changed at random.

    Args:
        windows: (N, T, D) of the training.
    """

    def __init__(self, augmentation: InertialAugmentation, windows: np.ndarray) -> None:
        self._augmentation = augmentation
        self._changes = augmentation != InertialAugmentation()
        self._deviations = windows.std((0, 1), dtype=np.float64)

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Sample:
        import torch

        from gesture3d.data.batch import Sample
        from gesture3d.data.inertial.transforms import augment

        window = item.content
        if rng is not None and self._changes:
            changed = augment(window, self._augmentation, self._deviations, rng)
            window = np.ascontiguousarray(changed, dtype=np.float32)
        return Sample(item.key, torch.from_numpy(window), item.label)


def windows_index(
    class_names: tuple[str, ...],
    windows: np.ndarray | list[np.ndarray],
    keys: list[str],
    labels: np.ndarray | list[int],
    groups: list[Any],
    splits: list[str],
    channel_names: tuple[str, ...] | None = None,
) -> Index:
    """An index of windows (N, T, D), float32, from a value each."""
    rows = zip(keys, labels, windows, groups, splits, strict=True)
    items = [
        Item(key, int(label), window, group and str(group), split)
        for key, label, window, group, split in rows
    ]
    return Index(class_names, items, channel_names=channel_names)
