"""Sets of long videos with the events in them: windows in training, whole streams elsewhere."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from gesture3d.data.index import Index, Item
from gesture3d.data.sets import Opened
from gesture3d.data.streams import (
    Prepare,
    StreamData,
    TimedFrame,
    check_pre_roll,
    check_shape,
    stream_classes,
)
from gesture3d.data.video.stream import VideoData
from gesture3d.errors import Gesture3dError
from gesture3d.events import check_within, read_annotations
from gesture3d.settings import Fraction, Frames, Rate

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.data.spec import InputSpec


class VideoStreams(StreamData, VideoData):
    """What every set of streams has: the rate of its frames, the windows it is learnt from.

    ``num_frames`` is the length of a training window, its pre-roll included.
    """

    streams: ClassVar[bool] = True
    input_settings: ClassVar[frozenset[str]] = VideoData.input_settings | {"rate_hz", "label_delay"}
    training_settings: ClassVar[tuple[str, ...]] = (
        *VideoData.training_settings,
        "pre_roll",
        "gesture_share",
    )

    num_frames: Frames = 96
    rate_hz: Rate = 12.0  # frames a second that the network is given, by the clock of each video
    # At most so many frames at the beginning of a training window lead the network in; their scores
    # are no part of the loss.
    pre_roll: Annotated[int, Field(ge=0, le=10_000)] = 24
    # This share of the training windows has some of a gesture in it; the others are anywhere.
    gesture_share: Fraction = 0.0

    @model_validator(mode="after")
    def _fits_streams(self) -> VideoStreams:
        check_pre_roll(self.pre_roll, self.num_frames)
        for name in ("few_shot", "balance", "framing", "augmentation.time_reversal"):
            value = self
            for part in name.split("."):
                value = getattr(value, part)
            if value not in (None, False, "none", "whole"):
                raise ValueError(f"{name} is there for clips only, not for streams: leave it out")
        return self

    def open(self, index: Index, progress: bool) -> Opened:
        """As of clips; samples have a label a frame."""
        from gesture3d.data.video.prepared.open import open_clips
        from gesture3d.data.video.windows import ReadStream

        index, cache, left_out = open_clips(index, self, progress)
        return Opened(index, ReadStream(self, index, cache), left_out=left_out)

    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        return replace(super().input_spec(), rate_hz=self.rate_hz)

    def frames_of(self, path: Path, spec: InputSpec) -> Iterator[TimedFrame]:
        from gesture3d.data.video.reading import open_video, timed_frames

        reader = open_video(path, rules=self.frame_rules)
        rate = reader.fps or self.rate_hz  # folders of frames have no clock
        for frame, now in timed_frames(reader, rate):
            if reader.is_bgr and frame.shape[2] == 3:
                frame = frame[:, :, ::-1]
            yield frame, now, now + 1 / rate

    def preparation(self, shape: tuple[int, ...]) -> Prepare:
        """Of frames uint8 (H, W, 3) RGB, or (H, W, 1)."""
        from gesture3d.data.video.clips import to_tensor
        from gesture3d.data.video.crops import evaluation_crops
        from gesture3d.data.video.pixels import prepare_frame

        if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
            raise Gesture3dError(
                f"a frame of shape {shape}; expected (height, width, 1 or 3), uint8"
            )

        def prepare(frame: np.ndarray) -> Tensor:
            check_shape(frame, shape)
            if frame.dtype != np.uint8:
                raise Gesture3dError(f"a frame of {frame.dtype}; expected uint8, 0 to 255")
            small = prepare_frame(frame, self.cache_size, self.pixels)
            crop = evaluation_crops(*small.shape[:2], 1)[0]
            return to_tensor(crop.apply(small[None], self.size), self)[0]

        return prepare


def read_streams(
    data: VideoStreams,
    lists: Mapping[Path, str],
    gestures: Sequence[str] | None = None,
    missing_ok: Container[str] = (),
) -> Index:
    """The streams of annotation files, see `gesture3d.events`.

    A path is relative to its file, or to ``data.root``; it is the key.

    Args:
        lists: file → the split of its streams, or "".
        gestures: the classes, in order; None: those that occur.

    Raises:
        Gesture3dError: a file that is not there or cannot be read, an event that ends behind its
            stream, a stream in two files.
    """
    from gesture3d.data.video.reading import open_video

    found: list[Item] = []
    for path, split in lists.items():
        for name, events in read_annotations(path, labels=gestures).items():
            key = Path(name).as_posix()
            places = (folder / name for folder in (path.parent, data.root))
            video = next((p for p in places if os.path.exists(p)), None)  # noqa: PTH110 (any name)
            item = Item(key, -1, video or data.root / name, split=split, where=f"{path}: {name}")
            if video is not None:
                opened = open_video(video, rules=data.frame_rules)
                rate = opened.fps or data.rate_hz  # folders of frames have no clock
                seconds = opened.num_frames / rate
                events = check_within(events, seconds, item.where, clip=2 / rate)
                item = replace(item, num_frames=opened.num_frames, rate_hz=rate)
            elif key not in missing_ok:
                raise Gesture3dError(f"{path}: {name}: no such video there or in {data.root}")
            found.append(replace(item, events=tuple(events)))
    labels = gestures or sorted({event.label for item in found for event in item.events})
    return Index(stream_classes(labels), found)
