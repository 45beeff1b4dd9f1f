"""A process that reads files for `readers`: a path → its parts, one after the other.

It loads no PyTorch for videos, and so is ready, or again ready after a crash, within a second.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gesture3d.config import validate_experiment
from gesture3d.data.sets import DataSet
from gesture3d.data.spec import InputSpec
from gesture3d.data.streams import TimedFrame
from gesture3d.errors import Gesture3dError
from gesture3d.helpers import answer_questions

PART_WINDOWS = 16  # of a long video at a time
PART_BYTES = 8 << 20  # of a stream's frames at a time


def answer(description: str) -> None:
    """A process that reads: a path → its parts, one after the other."""
    said = json.loads(description)
    os.environ["OMP_NUM_THREADS"] = "1"  # PyTorch's, where something loads it
    data = validate_experiment(said["experiment"], "the experiment").data
    features, names = said["spec"]
    spec = data.input_spec(features, names and tuple(names))

    def parts_of(path: str, ask_back: Callable[[Any], Any]) -> dict:
        waiting: dict = {}
        try:
            for part in _parts(Path(path), data, spec, *said["long"]):
                if waiting:
                    ask_back(waiting | {"last": False})
                waiting = part
        except Gesture3dError as error:
            return {"error": str(error), "last": True}
        return waiting | {"last": True}

    answer_questions(parts_of)


def _parts(
    path: Path, data: DataSet, spec: InputSpec, long_seconds: float, window_seconds: float
) -> Iterator[dict]:
    if data.streams:
        yield from _stream_parts(data.frames_of(path, spec))
        return
    if data.stream != "video" or data.modality == "flow":
        cut = data.cut(path, spec)
        yield _part([clip.numpy() for clip in cut.inputs], cut.spans)
        return
    from gesture3d.data.video.evaluated import DEFAULT_RATE_HZ, load_opened, load_windows
    from gesture3d.data.video.reading import open_video

    reader = open_video(path, rules=data.frame_rules)
    if reader.num_frames / (reader.fps or DEFAULT_RATE_HZ) <= long_seconds:
        yield _part([load_opened(path, reader, data)], None)
        return
    windows = load_windows(path, reader, data, window_seconds)
    while some := list(itertools.islice(windows, PART_WINDOWS)):
        yield _part([clip for _, clip in some], [span for span, _ in some], True)


def _part(inputs: list, spans: list | None, is_long: bool = False) -> dict:
    return {"inputs": inputs, "spans": spans, "long": is_long}


def _stream_parts(frames: Iterable[TimedFrame]) -> Iterator[dict]:
    waiting, starts, ends = [], [], []

    def part() -> dict:
        return {"frames": np.stack(waiting), "starts": starts, "ends": ends}

    for frame, start, end in frames:
        if waiting and (
            waiting[0].nbytes * len(waiting) >= PART_BYTES or frame.shape != waiting[0].shape
        ):
            yield part()
            waiting, starts, ends = [], [], []
        waiting.append(np.array(frame))
        starts.append(start)
        ends.append(end)
    if waiting:
        yield part()
