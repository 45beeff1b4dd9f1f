"""How well gestures are found in streams: found events beside the annotated ones.

Everywhere ``truth`` and ``found`` map a stream to its events; a stream of the truth in which
nothing was found may be missing. Times may be in any unit that is the same on both sides (the
evaluators cited count frames). Shares are 0..1; what is not defined (no repetitions) is NaN.
"""

import itertools
import math
import operator
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.text import one_line

Streams = Mapping[str, Sequence[Event]]
IOUS = (0.1, 0.25, 0.5)
EARLY = 1.0  # seconds that SFINGE3D's protocol lets a start be early: 20 frames at 20 a second
REPEATED = 2.0  # seconds between two gestures of a class that are a repetition


@dataclass(frozen=True)
class Sfinge:
    """Attributes:
    detection_rate: correct detections a truth.
    false_positives: other events a truth.
    """

    detection_rate: float
    false_positives: float


@dataclass(frozen=True)
class Shrec22:
    """Means over the classes that the truth has.

    Attributes:
        detection_rate: detected truths a truth.
        false_positives: false events a truth.
        jaccard: detected / (detected + missed + false events).
        delay: of the detections, from the event's start to when it was decided; the time's unit.
    """

    detection_rate: float
    false_positives: float
    jaccard: float
    delay: float


@dataclass(frozen=True)
class Spotting:
    """All measures of one set of streams, see the functions of these names.

    Attributes:
        segment_f1: IoU → F1.
        latency: median; 0 where a gesture starts, 1 where it ends.
        num_events: annotated; ``num_found``: found.
    """

    sfinge: Sfinge
    shrec22: Shrec22
    levenshtein_accuracy: float
    segment_f1: dict[float, float]
    edit_score: float
    mean_jaccard: float
    false_alarms_per_minute: float
    repeats_caught: float
    latency: float
    num_events: int
    num_found: int

    def scalars(self) -> dict[str, float]:
        """Every number by its name, as tables print them."""
        return {
            "SFINGE detection rate": self.sfinge.detection_rate,
            "SFINGE false positives": self.sfinge.false_positives,
            "SHREC'22 detection rate": self.shrec22.detection_rate,
            "SHREC'22 false positives": self.shrec22.false_positives,
            "SHREC'22 Jaccard": self.shrec22.jaccard,
            "SHREC'22 delay": self.shrec22.delay,
            "Levenshtein accuracy": self.levenshtein_accuracy,
            **{f"F1@{iou:g}": value for iou, value in self.segment_f1.items()},
            "edit score": self.edit_score,
            "mean Jaccard": self.mean_jaccard,
            "false alarms a minute": self.false_alarms_per_minute,
            "repeats caught": self.repeats_caught,
            "latency": self.latency,
        }

    def defined(self) -> dict[str, float | None]:
        """The same for JSON: None where a measure is not defined."""
        return {name: None if math.isnan(v) else v for name, v in self.scalars().items()}


def measure(truth: Streams, found: Streams, lengths: Mapping[str, float]) -> Spotting:
    """Every measure.

    Args:
        lengths: of the streams, seconds.

    Raises:
        Gesture3dError: no annotated event at all, or events of a stream that is not in the truth.
    """
    return Spotting(
        sfinge=sfinge(truth, found),
        shrec22=shrec22(truth, found),
        levenshtein_accuracy=levenshtein_accuracy(truth, found),
        segment_f1={iou: segment_f1(truth, found, iou) for iou in IOUS},
        edit_score=edit_score(truth, found),
        mean_jaccard=mean_jaccard(truth, found),
        false_alarms_per_minute=false_alarms_per_minute(truth, found, lengths),
        repeats_caught=repeats_caught(truth, found),
        latency=latency(truth, found),
        num_events=sum(map(len, truth.values())),
        num_found=sum(map(len, found.values())),
    )


# --- detections -----------------------------------------------------------------------------------


def sfinge(truth: Streams, found: Streams, early: float = EARLY) -> Sfinge:
    """SFINGE3D's protocol: an event is correct if it has the truth's label and starts in
    [start − ``early``, end]; a second detection of a truth is a false positive.

    Source: Caputo et al., "SFINGE 3D: A novel benchmark for online detection and recognition of
    heterogeneous hand gestures from 3D fingers' trajectories", Computers & Graphics 2020.
    """
    correct = wrong = 0
    for events, others in _pairs(truth, found):
        detected: set[int] = set()
        for event in others:
            fits = (
                place
                for place, true in enumerate(events)
                if true.label == event.label
                and place not in detected
                and true.start - early <= event.start <= true.end
            )
            place = next(fits, None)
            wrong += place is None
            if place is not None:
                detected.add(place)
        correct += len(detected)
    count = _count(truth)
    return Sfinge(correct / count, wrong / count)


def shrec22(truth: Streams, found: Streams) -> Shrec22:
    """The measures of SHREC'22's online track, see `Shrec22`.

    An event detects a truth of its label that it covers by half, if it is at most twice as long;
    each truth once. One that covers less of a truth that is not detected yet, and passes the test
    of length, counts as nothing; all others are false. False events of classes that the truth has
    not are in no mean.

    Source: Emporio et al., "SHREC 2022 track on online detection of heterogeneous gestures",
    Computers & Graphics 2022, and its evaluator's results; the delay is the mean of classes' means.
    """
    detected, wrong, delays = Counter(), Counter(), defaultdict(list)
    for events, others in _pairs(truth, found):
        matches, false = _shrec22_matches(events, others)
        wrong.update(event.label for event in false)
        for place, event in matches.items():
            detected[events[place].label] += 1
            if event.decided is not None:
                delays[event.label].append(event.decided - event.start)
    _count(truth)
    numbers = Counter(event.label for events in truth.values() for event in events)
    return Shrec22(
        statistics.fmean(detected[label] / n for label, n in numbers.items()),
        statistics.fmean(wrong[label] / n for label, n in numbers.items()),
        statistics.fmean(detected[label] / (n + wrong[label]) for label, n in numbers.items()),
        _mean([statistics.fmean(values) for values in delays.values()]),
    )


def _shrec22_matches(
    truth: Sequence[Event], found: Sequence[Event]
) -> tuple[dict[int, Event], list[Event]]:
    """Place in the truth → what detects it; and the false events."""
    matches: dict[int, Event] = {}
    false = []
    for event in found:
        near = [
            (place, _overlap(true, event) / true.length)
            for place, true in enumerate(truth)
            if true.label == event.label
            and place not in matches
            and event.length <= 2 * true.length
            and _overlap(true, event) > 0
        ]
        place = next((place for place, share in near if share >= 0.5), None)
        if place is not None:
            matches[place] = event
        elif not near:
            false.append(event)
    return matches, false


def false_alarms_per_minute(truth: Streams, found: Streams, lengths: Mapping[str, float]) -> float:
    """Events that touch no gesture of any class, a minute of what is no gesture.

    Args:
        lengths: of the streams, seconds.
    """
    alarms = 0
    for events, others in _pairs(truth, found):
        alarms += sum(all(_overlap(true, event) <= 0 for true in events) for event in others)
    free = sum(lengths[name] - _duration(_union(truth[name])) for name in truth)
    return 60 * alarms / free if free > 0 else math.nan


def repeats_caught(truth: Streams, found: Streams, within: float = REPEATED) -> float:
    """Of gestures that begin within so many seconds behind the end of one of the same class: the
    share that has an event of its own, as `shrec22` matches them."""
    repeats = caught = 0
    for events, others in _pairs(truth, found):
        matches, _ = _shrec22_matches(events, others)
        for place, (first, second) in enumerate(itertools.pairwise(events), start=1):
            if first.label == second.label and second.start - first.end <= within:
                repeats += 1
                caught += place in matches
    return caught / repeats if repeats else math.nan


def latency(truth: Streams, found: Streams) -> float:
    """The median of (decided − start) / length over the truths that `shrec22` matches."""
    shares = [
        (event.decided - events[place].start) / events[place].length
        for events, others in _pairs(truth, found)
        for place, event in _shrec22_matches(events, others)[0].items()
        if event.decided is not None
    ]
    return statistics.median(shares) if shares else math.nan


# --- sequences of labels --------------------------------------------------------------------------


def levenshtein_accuracy(truth: Streams, found: Streams) -> float:
    """1 − edits / truths, over all streams together: negative where there are more edits.

    Edits are insertions, deletions and substitutions of labels in their order of time (the
    Levenshtein distance of ChaLearn's multi-modal gesture challenge, Escalera et al. 2013).
    """
    edits = sum(_distance(_labels(a), _labels(b)) for a, b in _pairs(truth, found))
    return 1 - edits / _count(truth)


def edit_score(truth: Streams, found: Streams) -> float:
    """1 − edits / the longer of the two sequences of labels, mean over streams.

    Source: Abu Farha and Gall, "MS-TCN", CVPR 2019; background is no segment here. A stream without
    events on either side is right: 1.
    """
    return statistics.fmean(
        1 - _distance(_labels(a), _labels(b)) / max(len(a), len(b), 1)
        for a, b in _pairs(truth, found)
    )


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        corner, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
    return row[-1]


# --- segments -------------------------------------------------------------------------------------


def segment_f1(truth: Streams, found: Streams, iou: float = 0.5) -> float:
    """F1 of segments: an event is right if the truth of its label with the largest intersection
    over union has at least ``iou`` and was not taken before. Pooled over streams and classes.

    Source: Lea et al., "Temporal convolutional networks for action segmentation", CVPR 2017, as
    MS-TCN computes it (Abu Farha and Gall, CVPR 2019).
    """
    right = total = 0
    for events, others in _pairs(truth, found):
        taken: set[int] = set()
        for event in others:
            best = max(
                (place for place, true in enumerate(events) if true.label == event.label),
                key=lambda place: _iou(events[place], event),
                default=None,
            )
            if best is not None and best not in taken and _iou(events[best], event) >= iou:
                taken.add(best)
        right += len(taken)
        total += len(events) + len(others)
    return 2 * right / total if total else math.nan


def mean_jaccard(truth: Streams, found: Streams) -> float:
    """Intersection over union of the time of each class that a stream's truth has, mean over
    these classes and then over streams; streams without gestures are left out.

    Source: ChaLearn LAP ConGD (Wan et al., CVPR Workshops 2016), which counts frames.
    """
    means = []
    for events, others in _pairs(truth, found):
        shares = []
        for label in {event.label for event in events}:
            mine, theirs = ([e for e in side if e.label == label] for side in (events, others))
            both, one, other = (_duration(_union(x)) for x in ([*mine, *theirs], mine, theirs))
            shares.append((one + other - both) / both)
        means += [statistics.fmean(shares)] if shares else []
    return _mean(means)


def _overlap(one: Event, other: Event) -> float:
    return min(one.end, other.end) - max(one.start, other.start)


def _iou(one: Event, other: Event) -> float:
    return _overlap(one, other) / (max(one.end, other.end) - min(one.start, other.start))


def _union(events: Sequence[Event]) -> list[tuple[float, float]]:
    """Spans that do not overlap and cover the same time."""
    spans: list[tuple[float, float]] = []
    for event in sorted(events, key=lambda e: e.start):
        if spans and event.start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], event.end)
        else:
            spans.append((event.start, event.end))
    return spans


def _duration(spans: Sequence[tuple[float, float]]) -> float:
    return math.fsum(end - start for start, end in spans)


# --- streams --------------------------------------------------------------------------------------


def _pairs(truth: Streams, found: Streams) -> Iterator[tuple[list[Event], list[Event]]]:
    """The two sides of each stream, each in the order of time."""
    unknown = [name for name in found if name not in truth]
    if unknown:
        name = one_line(unknown[0], 80)
        raise Gesture3dError(f"{name}: events were found in it, but it has no annotations")
    by_time = operator.attrgetter("start", "end")
    for name, events in truth.items():
        yield sorted(events, key=by_time), sorted(found.get(name, ()), key=by_time)


def _labels(events: Sequence[Event]) -> list[str]:
    return [event.label for event in events]


def _count(truth: Streams) -> int:
    count = sum(map(len, truth.values()))
    if not count:
        raise Gesture3dError("no annotated gesture in these streams, so nothing can be measured")
    return count


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan
