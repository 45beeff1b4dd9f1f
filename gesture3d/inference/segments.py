"""What overlapping windows say of a recording, as segments: which class from when to when."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Span = tuple[float, float]  # from when to when, seconds
NONE = "none of these"


@dataclass(frozen=True)
class RankedClass:
    """A class and its probability (0..1).

    Where a sample is rejected as of no known class, its first has the name `NONE`, and still the
    probability of the class that it would have been.
    """

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


def rank(
    probabilities: np.ndarray, class_names: Sequence[str], rejected: bool = False
) -> list[RankedClass]:
    """All classes, most probable first; of equal ones, the first."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = [RankedClass(class_names[i], float(probabilities[i])) for i in order]
    return [replace(ranked[0], name=NONE), *ranked[1:]] if rejected else ranked


def cover(spans: Sequence[Span], values: np.ndarray) -> tuple[list[Span], np.ndarray]:
    """The pieces between the edges of overlapping spans, each with the mean of those over it.

    Args:
        spans: ascending in their starts and in their stops.
        values: (N, K), of the spans: probabilities, and others.

    Returns:
        Spans that do not overlap, in order of time, and their values (P, K).
    """
    starts, stops = ([span[end] for span in spans] for end in (0, 1))
    pieces, means = [], []
    for start, stop in itertools.pairwise(sorted({*starts, *stops})):
        first, last = bisect.bisect_right(stops, start), bisect.bisect_right(starts, start)
        if first < last:
            pieces.append((start, stop))
            means.append(values[first:last].mean(axis=0))
    return pieces, np.stack(means)


def merge(
    pieces: Sequence[Span], values: np.ndarray, labels: np.ndarray
) -> tuple[list[Span], np.ndarray]:
    """Neighbours with the same label as one, their values averaged by time.

    Args:
        pieces, values: as `cover` returns them.
        labels: (P,), of the pieces.
    """
    bounds = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    lengths = np.array([stop - start for start, stop in pieces])[:, None]
    merged, means = [], []
    for first, last in itertools.pairwise(bounds):
        seconds = lengths[first:last]
        merged.append((pieces[first][0], pieces[last - 1][1]))
        means.append((seconds * values[first:last]).sum(axis=0) / seconds.sum())
    return merged, np.stack(means)
