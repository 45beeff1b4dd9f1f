"""From scores over time to events, step by step: what is decided now never needs the future.

A gesture fires when its probability, a running mean over time, rises above its threshold and is the
largest of all gestures'; it is over, and may fire again, when the probability falls below half of
that (a Schmitt trigger), or when another gesture fires. The same gesture made twice is two events
if the probability falls in between; no rule forbids it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.events import Event

REARM = 0.5  # of the threshold


@dataclass(frozen=True)
class StreamScores:
    """What a network says of a stream.

    Attributes:
        seconds: (T,) when each step ends, of the stream's own clock; a step begins where the one
            before ends, the first at 0.
        scores: (T, K), before the softmax.
    """

    seconds: np.ndarray
    scores: np.ndarray


def find_events(
    stream: StreamScores, decision: OnlineDecision, class_names: Sequence[str]
) -> list[Event]:
    """The events of a whole stream, by their start: those of an `EventFinder`."""
    finder = EventFinder(decision, class_names)
    finder.push(stream.scores, stream.seconds)
    finder.close()
    return sorted(finder.take_ended(), key=lambda event: (event.start, event.end))


def earlier(event: Event, lag: float, begin: float = 0.0) -> Event:
    """An event of scores that are ``lag`` seconds behind the frames, of a stream from ``begin``."""
    start, end = max(event.start - lag, begin), event.end - lag
    if end <= start:  # within the lag of the stream's begin
        end = event.decided
    return replace(event, start=start, end=end)


class Follower:
    """What a network that follows frames has in common, however it looks at them: the events of one
    stream at a time. Where a stream breaks off, it is over, and another begins.

    Attributes:
        probabilities: (K,) of the newest look; None before there is one, and where there was
            nothing to read.
        newest: (seconds, scores) of the newest look, as they become events; None before.
    """

    def __init__(self) -> None:
        self._finder: EventFinder | None = None
        self._ended: list[Event] = []
        self.probabilities: np.ndarray | None = None
        self.newest: tuple[float, np.ndarray] | None = None

    def take_ended(self) -> list[Event]:
        """The events that were over since the last call, with their ends."""
        ended = self._ended + (self._finder.take_ended() if self._finder else [])
        self._ended = []
        return ended

    def close(self) -> list[Event]:
        """The stream is over: what of `take_ended` is left."""
        if self._finder:
            self._finder.close()
        return self.take_ended()

    def _begin_with(self, finder: EventFinder) -> None:
        self._ended = self.close()
        self._finder = finder
        self.probabilities = self.newest = None

    def _decide(self, scores: np.ndarray, seconds: float, known: float = -math.inf) -> list[Event]:
        self.newest = seconds, scores
        return self._finder.push(scores, seconds, known)


class EventFinder:
    """Events of one stream while it runs; however its steps are grouped, they are the same.

    `push` returns events as they are decided; `take_ended` the same events once they are over,
    with their ends. A copy (`copy.deepcopy`) goes on by itself.

    Args:
        decision: thresholds, smoothing and lag.
        class_names: of the scores.
        begin: of the stream's clock, seconds.

    Raises:
        Gesture3dError: a threshold of a class that there is not.
    """

    def __init__(
        self, decision: OnlineDecision, class_names: Sequence[str], begin: float = 0.0
    ) -> None:
        unknown = [name for name in decision.thresholds if name not in class_names]
        if unknown:
            raise Gesture3dError(f"a threshold of {unknown[0]!r}, which is no class of the network")
        self.decision, self.class_names, self.begin = decision, tuple(class_names), begin
        self._columns = np.array([class_names.index(name) for name in decision.thresholds])
        self._names = list(decision.thresholds)
        self._thresholds = np.array(list(decision.thresholds.values()), np.float64)
        self._now = begin
        self._smoothed = np.zeros(len(class_names))
        self._armed = np.ones(len(self._names), bool)
        self._onset = np.full(len(self._names), begin)  # when each was last below
        self._running: tuple[int, Event] | None = None
        self._ended: list[Event] = []

    def push(
        self, scores: np.ndarray, seconds: np.ndarray | float, known: float = -math.inf
    ) -> list[Event]:
        """The events that these steps decide; their ``end`` is only how far they have come.

        Args:
            scores: (T, K) of the next steps, or (K,) of one.
            seconds: when each step ends, (T,) or a number.
            known: when the newest frame in them came, where that is later, as of a slow camera:
                nothing was decided before.

        Raises:
            Gesture3dError: times that do not ascend, scores that are not finite or of another
                number; nothing has changed then, and the finder can go on.
        """
        scores = np.atleast_2d(np.asarray(scores, np.float64))
        seconds = np.atleast_1d(np.asarray(seconds, np.float64))
        self._check(scores, seconds)
        probabilities = self._smooth(softmax(scores, axis=1), seconds)[:, self._columns]
        low = probabilities < REARM * self._thresholds
        best = probabilities.argmax(axis=1)
        highest = probabilities.max(axis=1)
        high = highest > self._thresholds[best]
        decided = []
        for step, now in enumerate(seconds.tolist()):
            self._rearm(low[step], now)
            if high[step] and self._armed[best[step]]:
                decided.append(self._fire(int(best[step]), float(highest[step]), now, known))
            self._now = now
        return decided

    def take_ended(self) -> list[Event]:
        """The events that were over since the last call, in the order in which they ended."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """The stream is over, and with it a gesture that is being made."""
        if self._running:
            self._end(self._now)

    def _rearm(self, low: np.ndarray, now: float) -> None:
        """The gestures whose probability is low in the step that ends now."""
        if self._running and low[self._running[0]]:
            self._end(self._now)
        self._armed |= low
        self._onset[low] = now

    def _fire(self, gesture: int, score: float, now: float, known: float) -> Event:
        start = float(self._onset[gesture])
        if self._running:
            start = max(start, self._running[1].end)
            self._end(start)
        event = Event(self._names[gesture], start, now, max(now, known), score)
        self._running = gesture, event
        self._armed[gesture] = False
        return replace(event, start=max(start - self.decision.lag, self.begin))

    def _end(self, end: float) -> None:
        event = self._running[1]
        self._running = None
        event = replace(event, end=max(end, event.end))
        self._ended.append(earlier(event, self.decision.lag, self.begin))

    def _smooth(self, probabilities: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """An exponential mean over time, from 0; (T, K)."""
        if not self.decision.smoothing:
            return probabilities
        steps = np.diff(seconds, prepend=self._now)
        weights = -np.expm1(-steps / self.decision.smoothing)
        smoothed, value = np.empty_like(probabilities), self._smoothed
        for row, weight in enumerate(weights):
            value = value + weight * (probabilities[row] - value)
            smoothed[row] = value
        self._smoothed = value
        return smoothed

    def _check(self, scores: np.ndarray, seconds: np.ndarray) -> None:
        steps, count = scores.shape[0], len(self.class_names)
        if scores.ndim != 2 or scores.shape[1] != count or seconds.shape != (steps,):
            raise Gesture3dError(
                f"scores {scores.shape} at {seconds.shape} times; expected (steps, {count}) at as "
                "many times as steps"
            )
        ascending = np.diff(seconds, prepend=self._now) > 0
        if not ascending.all():
            step = int((~ascending).argmax())
            before = self._now if step == 0 else seconds[step - 1]
            raise Gesture3dError(
                f"{seconds[step]:g} s behind {before:g} s: the time of a stream must ascend; "
                "begin a new one where it jumps back"
            )
        if not np.isfinite(scores).all():
            raise Gesture3dError(f"scores at {seconds[~np.isfinite(scores).all(1)][0]:g} s are NaN")
