"""Scores become events, step by step and whatever the chunks."""

import copy
import math

import numpy as np
import pytest

from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.inference.online import EventFinder, StreamScores, find_events

NAMES = ("No gesture", "wave", "nod")
DECISION = OnlineDecision({"wave": 0.6, "nod": 0.8})


def stream(*probabilities: tuple[float, float], rate_hz: float = 10.0) -> StreamScores:
    """Of wave and nod, step by step."""
    p = np.array([(1 - sum(row), *row) for row in probabilities])
    return StreamScores(np.arange(1, len(p) + 1) / rate_hz, np.log(np.maximum(p, 1e-9)))


def waves(*probabilities: float, **decision: float) -> list[tuple[float, float, float]]:
    """(start, end, decided) of the events of one class."""
    found = find_events(
        stream(*((p, 0.0) for p in probabilities)), OnlineDecision({"wave": 0.6}, **decision), NAMES
    )
    return [(round(e.start, 6), round(e.end, 6), round(e.decided, 6)) for e in found]


def test_a_gesture_fires_above_its_threshold_and_lasts_until_half_of_it() -> None:
    assert waves(0.1, 0.4, 0.5, 0.7, 0.9, 0.5, 0.31, 0.29, 0.1) == [(0.1, 0.7, 0.4)]
    assert waves(0.1, 0.4, 0.59, 0.1) == []


def test_the_same_gesture_again_is_two_events_where_it_fell_in_between() -> None:
    assert waves(0.0, 0.9, 0.31, 0.9, 0.0) == [(0.1, 0.4, 0.2)]
    assert waves(0.0, 0.9, 0.29, 0.9, 0.0) == [(0.1, 0.2, 0.2), (0.3, 0.4, 0.4)]


def test_a_gesture_that_the_stream_ends_in_ends_with_it() -> None:
    assert waves(0.0, 0.9, 0.9) == [(0.1, 0.3, 0.2)]
    assert waves(0.9, 0.9) == [(0.0, 0.2, 0.1)]


def test_each_class_has_its_threshold_and_those_without_never_fire() -> None:
    found = find_events(stream((0.0, 0.7), (0.0, 0.0), (0.7, 0.0), (0.0, 0.9)), DECISION, NAMES)
    assert [e.label for e in found] == ["wave", "nod"]
    assert [e.score for e in found] == pytest.approx([0.7, 0.9], abs=1e-6)


def test_another_gesture_ends_the_one_before() -> None:
    """One gesture at a time: where the first one's probability is not low yet, too."""
    decision = OnlineDecision({"wave": 0.3, "nod": 0.3})
    found = find_events(
        stream((0.1, 0.0), (0.9, 0.0), (0.7, 0.1), (0.6, 0.2), (0.4, 0.5), (0.2, 0.7)),
        decision,
        NAMES,
    )
    assert [(e.label, round(e.start, 6), round(e.end, 6)) for e in found] == [
        ("wave", 0.1, 0.3),
        ("nod", 0.3, 0.6),
    ]
    assert found[1].decided == 0.5


def test_smoothing_is_a_mean_over_time_not_over_steps() -> None:
    """exp(-t / smoothing) of what was before is left, at any rate."""
    for rate_hz in (10.0, 40.0):
        p = [(0.8, 0.0)] * int(rate_hz)
        decision = OnlineDecision({"wave": 0.6}, smoothing=0.5)
        (event,) = find_events(stream(*p, rate_hz=rate_hz), decision, NAMES)
        exact = -0.5 * math.log(1 - 0.6 / 0.8)
        assert exact < event.decided <= exact + 1 / rate_hz
        onset = -0.5 * math.log(1 - 0.3 / 0.8)
        assert onset - 1 / rate_hz <= event.start < onset


def test_a_lag_moves_events_but_not_when_they_are_decided() -> None:
    assert waves(0.1, 0.1, 0.1, 0.7, 0.7, 0.1, lag=0.2) == [(0.1, 0.3, 0.4)]
    ((start, end, _),) = waves(0.9, 0.1, 0.1, lag=0.2)
    assert start == 0.0 < end


def random_stream(seed: int) -> tuple[StreamScores, OnlineDecision]:
    rng = np.random.default_rng(seed)
    scores = np.cumsum(rng.normal(0, 0.8, (400, 3)), axis=0)
    scores -= np.array([np.convolve(c, np.ones(40) / 40, "same") for c in scores.T]).T
    seconds = np.cumsum(rng.uniform(0.01, 0.2, 400))
    decision = OnlineDecision({"wave": 0.5, "nod": 0.4}, float(rng.choice([0, 0.3])), 0.1)
    return StreamScores(seconds, scores), decision


@pytest.mark.parametrize("seed", range(8))
def test_events_are_the_same_whatever_the_chunks(seed) -> None:
    """And when the finder is copied in the middle; what is decided is what will have ended."""
    whole, decision = random_stream(seed)
    expected = find_events(whole, decision, NAMES)
    assert len(expected) > 5
    rng = np.random.default_rng(seed)
    finder, decided, ended, first = EventFinder(decision, NAMES), [], [], 0
    while first < 400:
        last = first + int(rng.integers(0, 30))
        decided += finder.push(whole.scores[first:last], whole.seconds[first:last])
        ended += finder.take_ended()
        finder = copy.deepcopy(finder)
        first = last
    finder.close()
    ended += finder.take_ended()
    assert sorted(ended, key=lambda e: (e.start, e.end)) == expected
    same = [(e.label, e.start, e.decided, e.score) for e in ended]
    assert [(e.label, e.start, e.decided, e.score) for e in decided] == same
    assert all(e.start < e.end for e in ended)
    assert all(e.end == e.decided for e in decided)


def test_what_was_decided_does_not_depend_on_the_future() -> None:
    whole, decision = random_stream(3)
    finder, other = EventFinder(decision, NAMES), EventFinder(decision, NAMES)
    decided = finder.push(whole.scores, whole.seconds)
    changed = np.concatenate([whole.scores[:200], -whole.scores[200:]])
    now = whole.seconds[199]
    mine = [e for e in other.push(changed, whole.seconds) if e.decided <= now]
    assert mine == [e for e in decided if e.decided <= now]


@pytest.mark.parametrize(
    ("scores", "seconds", "said"),
    [
        (np.zeros((2, 3)), [1.1, 1.05], "1.05 s behind 1.1 s: the time of a stream must ascend"),
        (np.zeros((1, 3)), [0.5], "0.5 s behind 1 s"),
        (np.zeros((1, 3)), [math.nan], "nan s behind 1 s"),
        (np.zeros((1, 4)), [1.5], r"expected \(steps, 3\)"),
        (np.zeros((2, 3)), [1.5], "at as many times as steps"),
        (np.full((1, 3), math.nan), [1.5], r"scores at 1.5 s are NaN"),
    ],
)
def test_what_is_wrong_is_one_line_and_loses_nothing(scores, seconds, said) -> None:
    finder = EventFinder(DECISION, NAMES)
    finder.push(*stream_until_one_second())
    with pytest.raises(Gesture3dError, match=said):
        finder.push(scores, np.array(seconds))
    finder.push(np.array([9.0, 0.0, 0.0]), 1.1)
    assert [(e.label, e.end) for e in finder.take_ended()] == [("wave", 1.0)]


def stream_until_one_second() -> tuple[np.ndarray, np.ndarray]:
    begun = stream(*[(0.0, 0.0)] * 8, (0.9, 0.0), (0.9, 0.0))
    return begun.scores, begun.seconds


def test_a_threshold_of_no_class_is_refused() -> None:
    with pytest.raises(Gesture3dError, match="'clap', which is no class of the network"):
        EventFinder(OnlineDecision({"clap": 0.5}), NAMES)


def test_a_single_step_may_be_pushed() -> None:
    finder = EventFinder(DECISION, NAMES)
    (event,) = finder.push(np.array([0.0, 5.0, 0.0]), 0.25)
    assert event == Event("wave", 0.0, 0.25, 0.25, event.score)
