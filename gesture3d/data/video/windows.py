"""Long videos as samples: a window at random in training, else the whole stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gesture3d.data.batch import BrokenSample, Sample
from gesture3d.data.index import Item
from gesture3d.data.streams import NOT_LEARNT, frame_labels, random_window, steady_frames
from gesture3d.data.video.clips import ReadClip, corrupted, to_tensor
from gesture3d.data.video.crops import evaluation_crops, random_crop
from gesture3d.data.video.pixels import mirror_flow
from gesture3d.data.video.reading import VideoError
from gesture3d.events import NO_GESTURE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gesture3d.data.index import Index
    from gesture3d.data.video.streams import VideoStreams


class ReadStream(ReadClip):
    """Items as samples whose label is one number a frame, see `gesture3d.data.streams`.

    In training a window of ``data.num_frames`` frames, cropped and coloured at random; else the
    whole stream, its central square.
    """

    def __init__(
        self,
        data: VideoStreams,
        index: Index,
        cache: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        super().__init__(data, index, cache)
        self.class_names = index.class_names
        # ... and NOT_LEARNT, by -1
        self._mirrored = np.array([*self._mirrored_label, NOT_LEARNT])

    def __call__(self, item: Item, rng: np.random.Generator | None) -> Sample | BrokenSample:
        try:
            frames = self.all_frames(item)
        except VideoError as error:
            if self.data.on_bad_clip == "fail":
                raise
            return BrokenSample(item.key, str(error))
        data = self.data
        rows = steady_frames(len(frames), item.rate_hz, data.rate_hz)
        seconds = np.arange(len(rows)) / data.rate_hz
        labels = frame_labels(item.events, seconds, self.class_names, data.label_delay)
        if rng is None:
            if self.change:
                frames = self.change(item.key, frames)
            crop = evaluation_crops(*frames.shape[1:3], 1)[0]
            return Sample(item.key, to_tensor(crop.apply(frames[rows], data.size), data), labels)
        around = None
        if data.gesture_share and rng.random() < data.gesture_share:
            around = np.flatnonzero(labels != self.class_names.index(NO_GESTURE))
        window, labels = random_window(labels, data.num_frames, data.pre_roll, rng, around)
        frames = frames[rows[window]]
        crop = random_crop(*frames.shape[1:3], data.augmentation, rng)
        frames = crop.apply(corrupted(frames, data, rng), data.size)
        if crop.flip:
            frames = mirror_flow(frames) if data.modality == "flow" else frames
            labels = self._mirrored[labels]
        return Sample(item.key, to_tensor(frames, data), labels)
