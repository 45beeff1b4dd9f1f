"""What overlapping windows say of a recording, as segments: which class from when to when."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Span = tuple[float, float]  # from when to when, seconds


@dataclass(frozen=True)
class RankedClass:
    """A class and its probability (0..1)."""

    name: str
    probability: float


@dataclass(frozen=True)
class Segment:
    """A part of a file, and its classes from most to least probable.

    Attributes:
        start, stop: seconds; None where the file is one sample.
        classes: all of them; with their mean probabilities over the segment.
    """

    start: float | None
    stop: float | None
    classes: list[RankedClass]


def rank(probabilities: np.ndarray, class_names: Sequence[str]) -> list[RankedClass]:
    """All classes, most probable first; of equal ones, the first."""
    order = np.argsort(-probabilities, kind="stable")
    return [RankedClass(class_names[i], float(probabilities[i])) for i in order]


def cover(spans: Sequence[Span], probabilities: np.ndarray) -> tuple[list[Span], np.ndarray]:
    """The pieces between the edges of overlapping spans, each with the mean of those over it.

    Args:
        spans: ascending in their starts and in their stops.
        probabilities: (N, K), of the spans.

    Returns:
        Spans that do not overlap, in order of time, and their probabilities (P, K).
    """
    starts, stops = ([span[end] for span in spans] for end in (0, 1))
    pieces, means = [], []
    for start, stop in itertools.pairwise(sorted({*starts, *stops})):
        first, last = bisect.bisect_right(stops, start), bisect.bisect_right(starts, start)
        if first < last:
            pieces.append((start, stop))
            means.append(probabilities[first:last].mean(axis=0))
    return pieces, np.stack(means)


def merge(pieces: Sequence[Span], probabilities: np.ndarray) -> tuple[list[Span], np.ndarray]:
    """Neighbours with the same most probable class as one, their probabilities averaged by time.

    Args:
        pieces, probabilities: as `cover` returns them.
    """
    labels = probabilities.argmax(axis=1)
    bounds = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    lengths = np.array([stop - start for start, stop in pieces])[:, None]
    merged, means = [], []
    for first, last in itertools.pairwise(bounds):
        seconds = lengths[first:last]
        merged.append((pieces[first][0], pieces[last - 1][1]))
        means.append((seconds * probabilities[first:last]).sum(axis=0) / seconds.sum())
    return merged, np.stack(means)
