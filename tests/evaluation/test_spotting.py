"""Measures of found events: by hand, and people's real results as they were published."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation import spotting
from gesture3d.events import Event

# Team → detection rate, false positives, Jaccard, delay (frames), Levenshtein accuracy, F1@.5.
RESULTS = {
    "Causal TCN": (0.800, 0.255, 0.685, 19.0, 0.710, 0.759),
    "TN-FSM+JD": (0.771, 0.182, 0.658, 10.0, 0.788, 0.752),
    "2ST-GCN 5F": (0.738, 0.104, 0.672, 13.3, 0.832, 0.476),
    "Stronger": (0.719, 0.330, 0.591, 14.8, 0.712, 0.676),
}


def one(*events: tuple) -> dict[str, list[Event]]:
    return {"a": [Event(*event) for event in events]}


TRUTH = one(("wave", 10.0, 12.0), ("nod", 20.0, 24.0), ("nod", 25.0, 27.0))


def read_shrec22(path: Path, cells_an_event: int) -> dict[str, list[Event]]:
    streams = {}
    for line in path.read_text().splitlines():
        stream, *cells = [cell for cell in line.split(";") if cell]
        numbered = [cells[i : i + cells_an_event] for i in range(0, len(cells), cells_an_event)]
        streams[stream] = [Event(label, *map(float, times)) for label, *times in numbered]
    return streams


@pytest.mark.parametrize("team", RESULTS)
def test_shrec22s_participants_measure_as_in_their_evaluators(team, shared_data) -> None:
    folder = shared_data / "shrec22_online"
    truth = read_shrec22(folder / "test_annotations_fixed.txt", 3)
    assert sum(map(len, truth.values())) == 576
    lengths = {name: events[-1].end for name, events in truth.items()}
    m = spotting.measure(truth, read_shrec22(folder / f"{team}.txt", 4), lengths)
    values = (m.shrec22.detection_rate, m.shrec22.false_positives, m.shrec22.jaccard)
    expected = RESULTS[team]
    np.testing.assert_allclose(values, expected[:3], atol=6e-4)
    assert m.shrec22.delay == pytest.approx(expected[3], abs=0.06)
    assert m.levenshtein_accuracy == pytest.approx(expected[4], abs=6e-4)
    assert m.segment_f1[0.5] == pytest.approx(expected[5], abs=6e-4)


def test_what_is_found_exactly_has_full_marks() -> None:
    found = {"a": [Event(e.label, e.start, e.end, e.end, 1.0) for e in TRUTH["a"]]}
    m = spotting.measure(TRUTH, found, {"a": 60.0})
    assert m.sfinge == spotting.Sfinge(1.0, 0.0)
    assert m.shrec22 == spotting.Shrec22(1.0, 0.0, 1.0, 2.5)  # waves 2 s, nods 3 s
    assert m.segment_f1 == {0.1: 1.0, 0.25: 1.0, 0.5: 1.0}
    assert (m.levenshtein_accuracy, m.edit_score, m.mean_jaccard) == (1.0, 1.0, 1.0)
    assert (m.false_alarms_per_minute, m.repeats_caught, m.latency) == (0.0, 1.0, 1.0)


def test_what_is_not_found_at_all() -> None:
    m = spotting.measure(TRUTH, {}, {"a": 60.0})
    assert m.sfinge == spotting.Sfinge(0.0, 0.0)
    assert (m.shrec22.detection_rate, m.shrec22.false_positives, m.shrec22.jaccard) == (0, 0, 0)
    assert (m.levenshtein_accuracy, m.edit_score, m.mean_jaccard) == (0.0, 0.0, 0.0)
    assert (m.segment_f1[0.5], m.repeats_caught) == (0.0, 0.0)
    assert math.isnan(m.latency)
    assert math.isnan(m.shrec22.delay)


def test_a_stream_without_gestures_has_only_false_alarms() -> None:
    both, lengths = {**TRUTH, "b": []}, {"a": 60.0, "b": 60.0}
    m = spotting.measure(both, {**TRUTH, "b": [Event("wave", 1.0, 2.0)]}, lengths)
    assert m.false_alarms_per_minute == 60 / (120 - 8)
    assert (m.sfinge.false_positives, m.edit_score, m.mean_jaccard) == (1 / 3, 0.5, 1.0)
    assert spotting.measure(both, TRUTH, lengths).edit_score == 1.0


@pytest.mark.parametrize(
    ("event", "correct", "wrong"),
    [
        (("wave", 9.0, 9.5), 1, 0),  # a second early
        (("wave", 8.9, 30.0), 0, 1),
        (("wave", 12.0, 30.0), 1, 0),
        (("wave", 12.1, 30.0), 0, 1),
        (("nod", 10.5, 11.0), 0, 1),
    ],
)
def test_sfinge_goes_by_the_start(event, correct, wrong) -> None:
    truth = one(("wave", 10.0, 12.0))
    assert spotting.sfinge(truth, one(event)) == spotting.Sfinge(correct, wrong)


def test_sfinge_counts_a_second_detection_as_false() -> None:
    found = one(("wave", 10.0, 10.5), ("wave", 11.0, 12.0), ("nod", 25.0, 26.0))
    assert spotting.sfinge(TRUTH, found) == spotting.Sfinge(2 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("event", "detected", "false"),
    [
        (("wave", 11.0, 13.0), 1, 0),  # half of it
        (("wave", 11.1, 13.0), 0, 0),  # less: counts as nothing
        (("wave", 8.5, 12.5), 1, 0),  # twice as long
        (("wave", 8.5, 12.6), 0, 1),  # longer
        (("wave", 12.0, 13.0), 0, 1),  # behind it
        (("nod", 10.0, 12.0), 0, 1),
    ],
)
def test_shrec22_goes_by_the_overlap(event, detected, false) -> None:
    truth = one(("wave", 10.0, 12.0), ("nod", 20.0, 22.0))
    found = spotting.shrec22(truth, one(event))
    assert found.detection_rate == detected / 2
    assert found.false_positives == false / 2
    assert found.jaccard == (detected / (1 + false) if event[0] == "wave" else 0) / 2


def test_shrec22_detects_a_truth_once() -> None:
    """And what covers a little of a truth that has been detected is false."""
    truth = one(("wave", 10.0, 14.0))
    twice = one(("wave", 10.0, 12.0), ("wave", 12.0, 14.0))
    assert spotting.shrec22(truth, twice).false_positives == 1
    behind = one(("wave", 10.0, 13.0), ("wave", 13.0, 15.0))
    assert spotting.shrec22(truth, behind).false_positives == 1
    before = one(("wave", 9.0, 11.0), ("wave", 11.0, 14.0))
    assert spotting.shrec22(truth, before).false_positives == 0


def test_shrec22_means_are_over_classes() -> None:
    found = one(("wave", 10.0, 12.0), ("nod", 20.0, 23.0), ("clap", 1.0, 2.0))
    result = spotting.shrec22(TRUTH, found)
    assert (result.detection_rate, result.jaccard) == (0.75, 0.75)
    assert result.false_positives == 0  # a clap is in no mean


def test_levenshtein_accuracy_is_weighted_and_may_be_negative() -> None:
    truth = {**TRUTH, "b": [Event("wave", 0.0, 1.0)]}
    found = one(("wave", 1.0, 2.0), ("clap", 2.0, 3.0), ("nod", 4.0, 5.0), ("nod", 6.0, 7.0))
    assert spotting.levenshtein_accuracy(truth, found) == 1 - (1 + 1) / 4
    assert spotting.levenshtein_accuracy(one(("wave", 0.0, 1.0)), found) == 1 - 3
    assert spotting.edit_score(truth, found) == ((1 - 1 / 4) + 0) / 2


def test_the_distance_of_labels_is_the_least_number_of_edits() -> None:
    def by_definition(a: list[str], b: list[str]) -> int:
        if not a or not b:
            return len(a) + len(b)
        same = by_definition(a[1:], b[1:]) + (a[0] != b[0])
        return min(same, by_definition(a[1:], b) + 1, by_definition(a, b[1:]) + 1)

    rng = random.Random(0)
    for _ in range(40):
        a, b = (rng.choices("xyz", k=rng.randrange(6)) for _ in range(2))
        assert spotting._distance(a, b) == by_definition(a, b), (a, b)


def test_segment_f1_wants_the_best_segment_for_itself() -> None:
    truth = one(("wave", 0.0, 4.0), ("wave", 6.0, 10.0))
    found = one(("wave", 0.0, 3.0), ("wave", 3.0, 5.0), ("wave", 7.0, 20.0), ("nod", 6.0, 10.0))
    # 3/4; 1/5 of the first, which is taken; 3/14; another class
    assert spotting.segment_f1(truth, found, 0.5) == 2 * 1 / (2 + 4)
    assert spotting.segment_f1(truth, found, 0.1) == 2 * 2 / (2 + 4)


def test_mean_jaccard_is_that_of_frames() -> None:
    rng = np.random.default_rng(0)
    truth, found, means = {}, {}, []
    for stream in range(6):
        borders = np.sort(rng.choice(200, 8, replace=False))
        spans = list(zip(rng.choice(["x", "y", "z"], 4), borders[::2], borders[1::2], strict=True))
        truth[stream] = [Event(str(label), int(a), int(b)) for label, a, b in spans]
        starts = rng.integers(0, 180, 5)
        others = zip(rng.choice(["x", "y"], 5), starts, starts + 20, strict=True)
        found[stream] = [Event(str(label), int(a), int(b)) for label, a, b in others]
        shares = []
        for label in {e.label for e in truth[stream]}:
            frames = np.zeros((2, 200), bool)
            for row, side in enumerate((truth, found)):
                for event in side[stream]:
                    frames[row, event.start : event.end] |= event.label == label
            shares.append(frames.all(0).sum() / frames.any(0).sum())
        means.append(np.mean(shares))
    assert spotting.mean_jaccard(truth, found) == pytest.approx(np.mean(means), abs=1e-12)


def test_false_alarms_touch_no_gesture() -> None:
    found = one(("wave", 0.0, 1.0), ("nod", 1.0, 2.0), ("nod", 9.0, 10.5), ("clap", 30.0, 31.0))
    # 68 s less 8 s of gestures
    assert spotting.false_alarms_per_minute(TRUTH, found, {"a": 68.0}) == 3.0


def test_a_repetition_is_caught_by_an_event_of_its_own() -> None:
    both = one(("nod", 20.0, 24.0), ("nod", 25.0, 27.0))
    merged = one(("nod", 20.0, 27.0))
    assert spotting.repeats_caught(TRUTH, both) == 1.0
    assert spotting.repeats_caught(TRUTH, merged) == 0.0
    assert math.isnan(spotting.repeats_caught(TRUTH, both, within=0.5))


def test_latency_is_from_start_to_decision() -> None:
    found = one(("wave", 11.0, 12.0, 11.5), ("nod", 21.0, 24.0, 28.0), ("nod", 1.0, 2.0, 2.0))
    assert spotting.latency(TRUTH, found) == (0.75 + 2.0) / 2
    assert spotting.shrec22(TRUTH, found).delay == (0.5 + 7.0) / 2


def test_streams_must_be_those_of_the_truth() -> None:
    with pytest.raises(Gesture3dError, match="b: events were found in it, but it has no annota"):
        spotting.sfinge(TRUTH, {"b": []})
    with pytest.raises(Gesture3dError, match="no annotated gesture"):
        spotting.sfinge({"a": []}, {})
