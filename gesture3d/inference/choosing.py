"""Thresholds and smoothing of the online decision, chosen on validation streams."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation import spotting
from gesture3d.evaluation.spotting import Streams
from gesture3d.events import Event
from gesture3d.inference.online import StreamScores, earlier, find_events

THRESHOLDS = (*np.arange(0.1, 0.9, 0.05).round(2).tolist(), 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
SMOOTHINGS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.8)  # seconds
LAGS = (0.0, 0.2, 0.4)  # seconds
SAME = 0.005  # of a measure: thresholds within are as good


def _sfinge(truth: Streams, found: Streams) -> float:
    result = spotting.sfinge(truth, found)
    return result.detection_rate - result.false_positives


def _shrec22(truth: Streams, found: Streams) -> float:
    return spotting.shrec22(truth, found).jaccard


MEASURES: dict[str, Callable[[Streams, Streams], float]] = {
    "shrec22": _shrec22,
    "sfinge": _sfinge,
    "segment_f1": spotting.segment_f1,
    "levenshtein": spotting.levenshtein_accuracy,
}
"""What can be made greatest: SHREC'22's Jaccard, SFINGE3D's detection rate less its false
positives, F1@.5, the Levenshtein accuracy."""


def choose_decision(
    streams: Mapping[str, StreamScores],
    truth: Streams,
    class_names: Sequence[str],
    gestures: Sequence[str],
    *,
    data: str,
    measure: str = "shrec22",
    smoothings: Sequence[float] = SMOOTHINGS,
    lags: Sequence[float] = LAGS,
    per_class: bool = False,
) -> OnlineDecision:
    """Smoothing, lag and thresholds with the greatest measure, by trying all.

    Of neighbouring thresholds that are nearly as good (within `SAME`) the middle one is taken.

    Args:
        streams: the network's scores of validation streams; ``truth`` their gestures.
        gestures: the classes that can fire.
        data: what the streams are, for the record.
        measure: one of `MEASURES`.
        per_class: then one threshold after the other, where that is better by more than `SAME`.

    Raises:
        Gesture3dError: an unknown measure, no gesture in the truth, or a stream without scores.
    """
    if measure not in MEASURES:
        raise Gesture3dError(f"measure {measure!r}; expected one of {', '.join(MEASURES)}")
    missing = [name for name in truth if name not in streams]
    if missing:
        raise Gesture3dError(f"{missing[0]}: no scores of this stream to choose a decision on")
    search = _Search(streams, truth, class_names, MEASURES[measure])
    best = max(search.levels(gestures, smoothings, lags), key=lambda pair: pair[0])[1]
    best = replace(best, measure=measure, data=data)
    for name in gestures if per_class else ():
        best = search.refined(best, name)
    return replace(best, value=round(search.value(best), 6))


@dataclass(frozen=True)
class _Search:
    streams: Mapping[str, StreamScores]
    truth: Streams
    class_names: Sequence[str]
    measure: Callable[[Streams, Streams], float]

    def found(self, decision: OnlineDecision) -> dict[str, list[Event]]:
        return {
            name: find_events(self.streams[name], decision, self.class_names) for name in self.truth
        }

    def value(self, decision: OnlineDecision) -> float:
        return self.measure(self.truth, self.found(decision))

    def levels(
        self, gestures: Sequence[str], smoothings: Sequence[float], lags: Sequence[float]
    ) -> Iterator[tuple[float, OnlineDecision]]:
        """Of each smoothing and lag the best threshold, with its value."""
        for smoothing in smoothings:
            tried = [
                OnlineDecision(dict.fromkeys(gestures, level), smoothing) for level in THRESHOLDS
            ]
            found = [self.found(decision) for decision in tried]
            for lag in lags:
                values = [self.measure(self.truth, _earlier(streams, lag)) for streams in found]
                place = middle_of_best(values)
                yield values[place], replace(tried[place], lag=lag)

    def refined(self, decision: OnlineDecision, name: str) -> OnlineDecision:
        """With the best threshold for one class."""
        tried = [
            replace(decision, thresholds={**decision.thresholds, name: level})
            for level in THRESHOLDS
        ]
        values = [self.value(other) for other in tried]
        place = middle_of_best(values)
        return tried[place] if values[place] > self.value(decision) + SAME else decision


def _earlier(streams: Streams, lag: float) -> dict[str, list[Event]]:
    return {name: [earlier(e, lag) for e in events] for name, events in streams.items()}


def middle_of_best(values: Sequence[float], same: float = SAME) -> int:
    """The place in the middle of the longest run of values that are nearly the greatest."""
    good = np.asarray(values) >= max(values) - same
    runs = [
        list(run) for fits, run in itertools.groupby(range(len(good)), good.__getitem__) if fits
    ]
    run = max(runs, key=len)
    return run[(len(run) - 1) // 2]
