"""Long files frame by frame, each with its times."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gesture3d.data.sets import DataSet
from gesture3d.data.spec import InputSpec

TimedFrame = tuple[np.ndarray, float, float]  # and when it begins, when it ends, seconds


def frames_of(path: Path, data: DataSet, spec: InputSpec) -> Iterator[TimedFrame]:
    """A file, frame by frame.

    Raises:
        Gesture3dError: it cannot be read.
    """
    if data.stream == "video":
        return _video(path, data)
    return _joints(path, data) if data.stream == "skeleton" else _samples(path, data, spec)


def _video(path: Path, data: DataSet) -> Iterator[TimedFrame]:
    from gesture3d.data.video.reading import open_video

    reader = open_video(path, rules=data.frame_rules)
    rate = reader.fps or data.rate_hz  # folders of frames have no clock
    for number, frame in enumerate(reader.frames(np.arange(reader.num_frames))):
        if reader.is_bgr and frame.shape[2] == 3:
            frame = frame[:, :, ::-1]
        yield frame, number / rate, (number + 1) / rate


def _joints(path: Path, data: DataSet) -> Iterator[TimedFrame]:
    for number, joints in enumerate(data.joints_of(path)):
        yield joints, number / data.rate_hz, (number + 1) / data.rate_hz


def _samples(path: Path, data: DataSet, spec: InputSpec) -> Iterator[TimedFrame]:
    from gesture3d.data.inertial.recording import read_recording

    rate = data.rate_hz * getattr(data, "decimation", 1)
    filters = data.model_copy(update={"rate_hz": rate})
    for number, values in enumerate(read_recording(path, filters, spec.channel_names)):
        yield values, number / rate, (number + 1) / rate
