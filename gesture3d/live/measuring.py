"""What held-out clips say of a network that was taught, and how strict it has to be."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE

if TYPE_CHECKING:
    from gesture3d.decisions import OnlineDecision
    from gesture3d.inference.online import StreamScores
    from gesture3d.live.learn import Plan

# Of the online decision: threshold, and smoothing in seconds.
STRICTER = ((0.6, 0.25), (0.7, 0.25), (0.8, 0.3), (0.85, 0.4), (0.9, 0.5), (0.9, 0.8))


def measure(path: Path, plan: Plan) -> dict[str, Any]:
    """What the held-out clips say.

    The window and the thresholds of the online decision are chosen by the clips that were learnt
    from, and written into the checkpoint.
    """
    from gesture3d import checkpoint
    from gesture3d.inference.classifier import Classifier
    from gesture3d.inference.online import find_events
    from gesture3d.inference.sliding import NOTHING

    lengths = [_seconds(p) for n, ps in plan.learnt.items() if n != NO_GESTURE for p in ps]
    classifier = Classifier(path)
    # Hands are read since they came into sight; of pictures a window is as long as a gesture.
    finds_hands = classifier.experiment.data.finds_hands
    window = 1.2 * np.quantile(lengths, 0.9) if finds_hands else np.median(lengths)
    window = round(float(np.clip(window, 0.5, 10.0)), 3)
    names = (*classifier.class_names, NOTHING)
    parts = [part.get(NO_GESTURE, []) for part in (plan.learnt, plan.held_out)]
    slid = [Slid.over(classifier, window, clips) for clips in parts]
    cap = float(np.median(_own_scores(classifier, plan.held_out)))
    # What is said comes from the nothing that was learnt from alone; what is kept, from all of it.
    limit = min(slid[0].highest, cap)
    honest = strict_enough([slid[0].events_input(limit)], names)
    found = {"alarms": len(find_events(slid[1].events_input(limit), honest, names))}
    found |= {"nothing_seconds": round(float(slid[1].seconds.max(initial=0.0)), 1)}
    found |= in_stream(classifier, window, plan, limit, honest)
    limit = min(max(slid[0].highest, slid[1].highest), cap)
    decision = strict_enough([one.events_input(limit) for one in slid], names)
    tensors, description = checkpoint.load(path)
    metrics = description.metrics | {"window_seconds": window}
    if math.isfinite(limit):
        metrics |= {"nothing_score": limit}
    checkpoint.save(path, tensors, replace(description, online=decision, metrics=metrics))
    return found | {"window": window} | _recognised(classifier, plan.held_out)


@dataclass(frozen=True)
class Slid:
    """What a network says of clips that follow each other.

    Attributes:
        seconds: (T,); scores: (T, K + 1), see `Sliding.newest`; best: (T,), see `Sliding.best`.
        begins: when each clip begins, and the last one ends, seconds.
    """

    seconds: np.ndarray
    scores: np.ndarray
    best: np.ndarray
    begins: list[float]

    @classmethod
    def over(cls, classifier: Any, window: float, clips: list[Path]) -> Slid:
        from gesture3d.data.video.reading import open_video, read_frames
        from gesture3d.inference.sliding import Sliding

        slid, rows, now = Sliding(classifier, window_seconds=window), [], 0.0
        begins = [0.0]
        for clip in clips:
            step = 1 / (open_video(clip).fps or 15.0)
            for frame in read_frames(clip):
                slid.push(frame, now)
                if slid.newest and slid.newest[0] == now:
                    rows.append((*slid.newest, slid.best))
                now += step
            begins.append(now)
        seconds, scores, best = zip(*rows, strict=True) if rows else ((), (), ())
        shape = len(rows), len(slid.class_names)
        return cls(np.array(seconds), np.array(scores).reshape(shape), np.array(best), begins)

    @property
    def highest(self) -> float:
        """The highest score of a window that was taken for a gesture, and a rounding more."""
        return float(self.best.max(initial=-np.inf)) + 1e-3

    def events_input(self, limit: float) -> StreamScores:
        """The scores, where windows below a limit are nothing."""
        from gesture3d.inference.online import StreamScores
        from gesture3d.inference.sliding import SURE

        scores = self.scores.copy()
        scores[np.isfinite(self.best) & (self.best < limit), -1] = SURE
        return StreamScores(self.seconds, scores)


def in_stream(
    classifier: Any, window: float, plan: Plan, limit: float, decision: OnlineDecision
) -> dict[str, int]:
    """How many held-out gestures are found in a stream of them, with nothing before each: the
    right event, and no other, from its begin until half a window behind its end."""
    from gesture3d.inference.online import find_events
    from gesture3d.inference.sliding import NOTHING

    between = plan.held_out.get(NO_GESTURE, [])
    made = [(name, c) for name, clips in plan.held_out.items() if name != NO_GESTURE for c in clips]
    if not between:
        return {}
    order = [part for n, (_, c) in enumerate(made) for part in (between[n % len(between)], c)]
    slid = Slid.over(classifier, window, [*order, between[0]])
    names = (*classifier.class_names, NOTHING)
    events = find_events(slid.events_input(limit), decision, names)
    found = 0
    for number, (name, _) in enumerate(made):
        begin, end = slid.begins[2 * number + 1], slid.begins[2 * number + 2] + window / 2
        found += [e.label for e in events if begin <= e.decided <= end] == [name]
    return {"found": found, "made": len(made)}


def _own_scores(classifier: Any, held_out: dict[str, list[Path]]) -> list[float]:
    """The highest scores of held-out clips of gestures that can be read."""
    found = [0.0]
    for clip in (clip for name, clips in held_out.items() if name != NO_GESTURE for clip in clips):
        with contextlib.suppress(Gesture3dError):
            found.append(float(classifier.scores([classifier.load(clip)]).max()))
    return found[1:] or found


def strict_enough(nothing: list[StreamScores], names: tuple[str, ...]) -> OnlineDecision:
    """The least strict of `STRICTER` by which nothing is no gesture; where the first is not, one
    step more, as there is more of nothing than what was recorded."""
    from gesture3d.inference.online import find_events
    from gesture3d.inference.sliding import NOTHING, default_decision

    usual = default_decision([name for name in names if name != NOTHING])
    tried = [
        replace(
            usual,
            thresholds=dict.fromkeys(usual.thresholds, level),
            smoothing=smoothing,
            data="what was recorded of nothing",
        )
        for level, smoothing in STRICTER
    ]
    silent = (
        number
        for number, decision in enumerate(tried)
        if not any(find_events(stream, decision, names) for stream in nothing)
    )
    first = next(silent, len(tried) - 1)
    return tried[min(first + 1, len(tried) - 1) if first else 0]


def _recognised(classifier: Any, held_out: dict[str, list[Path]]) -> dict[str, Any]:
    """How many held-out clips of gestures are, and what is most often taken for what."""
    gestures = {name: clips for name, clips in held_out.items() if name != NO_GESTURE}
    pairs = [(name, _named(classifier, clip)) for name, clips in gestures.items() for clip in clips]
    wrong = Counter(pair for pair in pairs if pair[0] != pair[1])
    found: dict[str, Any] = {"tested": len(pairs), "right": len(pairs) - wrong.total()}
    if wrong:
        (made, taken), times = wrong.most_common(1)[0]
        of = len(gestures[made])
        found["worst"] = {"made": made, "taken": taken, "times": times, "of": of}
    return found


def _named(classifier: Any, clip: Path) -> str:
    """Its most probable class; where it cannot be read, nothing."""
    try:
        return classifier(clip)[0].name
    except Gesture3dError:
        return NO_GESTURE


def _seconds(clip: Path) -> float:
    from gesture3d.data.video.reading import open_video

    reader = open_video(clip)
    return reader.num_frames / (reader.fps or 15.0)
