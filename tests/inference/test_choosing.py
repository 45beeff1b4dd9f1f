"""What a search of the online decision finds on streams whose best decision is known."""

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event
from gesture3d.inference.choosing import choose_decision, middle_of_best
from gesture3d.inference.online import StreamScores

NAMES = ("No gesture", "wave", "nod")


def pulses(heights: list[tuple[int, float]]) -> StreamScores:
    """Second after second a class's probability is up for half a second, at 20 steps a second."""
    p = np.full((20 * len(heights), 3), 1e-6)
    for second, (label, height) in enumerate(heights):
        p[20 * second + 5 : 20 * second + 15, label] = height
    p[:, 0] = 1 - p[:, 1:].sum(axis=1)
    return StreamScores(np.arange(1, len(p) + 1) / 20, np.log(p))


def events(*seconds: int, label: str = "wave") -> list[Event]:
    return [Event(label, s + 0.25, s + 0.75) for s in seconds]


def test_the_threshold_lies_between_gestures_and_what_is_none() -> None:
    streams = {"a": pulses([(1, 0.9), (1, 0.5), (1, 0.9), (1, 0.5)])}
    truth = {"a": events(0, 2)}
    found = choose_decision(streams, truth, NAMES, ["wave", "nod"], data="pulses")
    assert 0.5 <= found.thresholds["wave"] == found.thresholds["nod"] < 0.9
    assert (found.value, found.measure, found.data) == (1.0, "shrec22", "pulses")


def test_thresholds_of_classes_where_one_does_not_fit_all() -> None:
    heights = [(1, 0.9), (1, 0.7), (2, 0.5), (2, 0.3), (1, 0.9), (2, 0.5)]
    truth = {"a": [*events(0, 4), *events(2, 5, label="nod")]}
    one, many = (
        choose_decision(
            {"a": pulses(heights)}, truth, NAMES, ["wave", "nod"], data="", per_class=per_class
        )
        for per_class in (False, True)
    )
    assert one.value < many.value == 1.0
    assert many.thresholds["nod"] < 0.5 < 0.7 <= many.thresholds["wave"]


def test_smoothing_and_lag_are_chosen_too() -> None:
    """Spikes that are no gestures are smoothed away; scores that are late are shifted."""
    stream = pulses([(1, 0.9)] * 3)
    stream.scores[[1, 22, 58]] = np.log([0.05, 0.95, 1e-6])
    found = choose_decision({"a": stream}, {"a": events(0, 1, 2)}, NAMES, ["wave"], data="")
    assert found.smoothing > 0
    assert found.value == 1.0
    late = {"a": [Event("wave", e.start - 0.4, e.end - 0.4) for e in events(1, 2)]}
    streams = {"a": pulses([(0, 0.9), (1, 0.9), (1, 0.9)])}
    found = choose_decision(
        streams, late, NAMES, ["wave"], data="", measure="segment_f1", lags=(0.0, 0.4, 0.8)
    )
    assert (found.lag, found.value) == (0.4, 1.0)


@pytest.mark.parametrize(
    ("values", "place"), [([0, 1, 1, 1, 0], 2), ([1, 0, 0.999, 1], 2), ([0, 0, 3], 2)]
)
def test_of_equally_good_ones_the_middle(values, place) -> None:
    assert middle_of_best(values) == place


def test_what_cannot_be_chosen_is_one_line() -> None:
    streams, truth = {"a": pulses([(1, 0.9)])}, {"a": events(0)}
    with pytest.raises(Gesture3dError, match=r"measure 'top1'; expected one of shrec22"):
        choose_decision(streams, truth, NAMES, ["wave"], data="", measure="top1")
    with pytest.raises(Gesture3dError, match="b: no scores of this stream"):
        choose_decision(streams, truth | {"b": []}, NAMES, ["wave"], data="")
