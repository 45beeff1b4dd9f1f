"""Long files as streams: their events, found as they would be online."""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from gesture3d.data.streams import TimedFrame
from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.helpers import MOST_SECONDS, NotStarted, in_threads
from gesture3d.inference.classifier import TOO_LONG, Classifier, Result
from gesture3d.inference.segments import RankedClass, Segment
from gesture3d.inference.stream import Stream
from gesture3d.text import one_line


def classify_streams(
    classifier: Classifier,
    paths: Iterable[Path],
    most_seconds: float = MOST_SECONDS,
    progress: bool = False,
) -> Iterator[Result]:
    """The events of each file as segments; a file that cannot be read becomes a named error, with
    the events before.

    Args:
        most_seconds: for the next frame of a file; what takes longer hangs, and is an error.
        progress: a terminal sees how far a file is that takes some seconds.
    """
    shown = {"unit": "frame", "leave": False, "delay": 2, "disable": None if progress else True}
    for path in paths:
        frames = classifier.experiment.data.frames_of(path, classifier.spec)
        frames = tqdm(_in_time(frames, most_seconds), one_line(path.name, 40), **shown)
        yield result_of_stream(classifier, path, frames)


def _in_time(frames: Iterator[TimedFrame], most_seconds: float) -> Iterator[TimedFrame]:
    """The same frames, none read before it is asked for.

    Raises:
        Gesture3dError: the next one takes more than ``most_seconds``.
    """
    over, late = object(), object()

    def read(_: None) -> TimedFrame | object:
        return next(frames, over)

    steps = in_threads(itertools.repeat(None), read, lambda _: late, 1, most_seconds, ahead=1)
    with contextlib.closing(steps):
        for frame in steps:
            if frame is late:
                raise Gesture3dError(f"reading it takes {TOO_LONG}")
            if frame is over:
                return
            yield frame


def result_of_stream(classifier: Classifier, path: Path, frames: Iterable[TimedFrame]) -> Result:
    """The same of one file, given its frames."""
    started = time.perf_counter()
    stream, events, length, error = Stream(classifier), [], 0.0, None
    try:
        for frame, seconds, until in frames:
            stream.push(frame, seconds)
            events += stream.take_ended()
            length = until
    except NotStarted:
        raise
    except Gesture3dError as problem:
        where = str(path)
        error = str(problem) if where in str(problem) else f"{where}: {problem}"
    events += stream.close()
    segments = [_segment(event) for event in sorted(events, key=lambda event: event.start)]
    return Result(path, segments, time.perf_counter() - started, error, length=length)


def _segment(event: Event) -> Segment:
    return Segment(event.start, event.end, [RankedClass(event.label, event.score)])
