"""Streams with events as items: frames as classes, and the windows that training takes of them.

A set of streams has the classes of its gestures and, last, `NO_GESTURE`: all that lies between.
A frame's class is that of the event in which it lies, ``start <= t < end``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE, Event
from gesture3d.settings import Rate, Section

if TYPE_CHECKING:
    from torch import Tensor

    from gesture3d.data.spec import InputSpec

TimedFrame = tuple[np.ndarray, float, float]  # and when it begins, when it ends, seconds
Prepare = Callable[[np.ndarray], "Tensor | None"]  # a frame → one of the network's, or none

NOT_LEARNT = -1  # the label of a frame that is no part of the loss


class StreamData(Section):
    """What every set of streams has, besides what its samples are: how frames are labelled, and how
    a stream's frames come to the network while it runs.

    With ``label_delay`` a network is asked what was so long before the newest frame, and may look
    at what came since: whether a gesture was broken off, say. It decides as much later.
    """

    rate_hz: Rate  # frames a second that the network is given
    label_delay: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0  # seconds

    @property
    def recorded_hz(self) -> float:
        """Frames a second that a stream is to bring; a multiple of ``rate_hz``."""
        return self.rate_hz

    @abstractmethod
    def frames_of(self, path: Path, spec: InputSpec) -> Iterator[TimedFrame]:
        """A file, frame by frame, as `preparation` takes them.

        Args:
            spec: what the network was trained on.

        Raises:
            Gesture3dError: it cannot be read.
        """

    @abstractmethod
    def preparation(self, shape: tuple[int, ...]) -> Prepare:
        """How a stream's frames of this shape become the network's, with what it carries.

        Raises:
            Gesture3dError: no frames of this stream have such a shape; of what is returned: a frame
                of another shape, or values that cannot be.
        """


def check_shape(frame: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises Gesture3dError: a frame is of another shape than those before."""
    if frame.shape != shape:
        raise Gesture3dError(
            f"a frame of shape {frame.shape} in a stream of {shape}: begin a new stream where the "
            "size changes"
        )


def stream_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The names of gestures, in this order, and last that of all else."""
    return (*(name for name in labels if name != NO_GESTURE), NO_GESTURE)


def frame_labels(
    events: Iterable[Event],
    seconds: np.ndarray,
    class_names: Sequence[str],
    delay: float = 0.0,
) -> np.ndarray:
    """The class of each frame of a stream: (T,) int64.

    Args:
        seconds: (T,) when each frame is, ascending.
        delay: seconds that labels are late.
    """
    labels = np.full(len(seconds), class_names.index(NO_GESTURE))
    for event in events:
        first, end = np.searchsorted(seconds - delay, [event.start, event.end])
        labels[first:end] = class_names.index(event.label)
    return labels


def steady_frames(num_frames: int, source_hz: float, rate_hz: float) -> np.ndarray:
    """The frames of a stream of ``source_hz`` frames a second to take for ``rate_hz``."""
    count = max(round(num_frames * rate_hz / source_hz), 1)
    wanted = np.floor((np.arange(count) + 0.5) * (source_hz / rate_hz)).astype(np.int64)
    return np.minimum(wanted, num_frames - 1)


def check_pre_roll(pre_roll: int, length: int, unit: str = "frames") -> None:
    """Raises ValueError where a window of this length has nothing behind its pre-roll."""
    if pre_roll >= length:
        raise ValueError(
            f"pre_roll {pre_roll} leaves nothing to learn of windows of {length} {unit}; make it "
            "smaller"
        )


def random_window(
    labels: np.ndarray,
    length: int,
    pre_roll: int,
    rng: np.random.Generator,
    around: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A window of ``length`` frames anywhere in a stream, whose first frames are not learnt: a
    random number up to ``pre_roll``, none where the window begins with the stream.

    Args:
        around: frames, one of which is to be in the window behind its pre-roll; None: any.

    Returns:
        Its frames, (length,) ascending, the last one repeated where the stream is shorter; and
        their labels, `NOT_LEARNT` in the pre-roll and behind the stream.
    """
    total = len(labels)
    last = max(total - length, 0)
    start = int(rng.integers(0, last + 1))
    if around is not None and len(around):
        start = int(rng.choice(around)) - int(rng.integers(pre_roll, length))
        start = min(max(start, 0), last)
    frames = start + np.arange(length)
    inside = np.minimum(frames, total - 1)
    learnt = np.where(frames < total, labels[inside], NOT_LEARNT)
    if start:
        learnt[: int(rng.integers(0, pre_roll + 1))] = NOT_LEARNT
    return inside, learnt
