"""A network for whole clips, slid over a stream."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.files import resource
from gesture3d.hands.features import NUM_FEATURES
from gesture3d.inference import sliding
from gesture3d.inference.classifier import Classifier
from gesture3d.inference.sliding import NOTHING, Sliding
from tests.inference.networks import untrained

FPS = 15.0


def fake_classifier(limit: float | None = None) -> SimpleNamespace:
    """Class a where the middle frame of a clip is bright, b where it is dark; scores 4 and 0, or 0
    and 0 where it is grey."""
    real = Classifier(resource("weights") / "variant_a-synthetic.safetensors")

    def scores(clips):
        level = clips[0][len(clips[0]) // 2].float().mean()
        return torch.tensor([[4.0 * (level > 200), 4.0 * (level < 50)]])

    calibration = limit and SimpleNamespace(threshold=lambda kept: limit)
    said = SimpleNamespace(metrics={"window_seconds": 1.0}, online=None)
    return SimpleNamespace(
        experiment=real.experiment,
        description=said,
        class_names=["a", "b"],
        calibration=calibration,
        scores=scores,
        weights="w",
    )


def push(slid: Sliding, levels: list[tuple[float, int]], begin: float = 0.0) -> list:
    """Frames of these (seconds, grey level), one after the other; the events decided."""
    events, number = [], 0
    for seconds, level in levels:
        for _ in range(round(seconds * FPS)):
            frame = np.full((60, 80, 3), level, np.uint8)
            events += slid.push(frame, begin + number / FPS)
            number += 1
    return events


@pytest.mark.parametrize("limit", [None, 1.0])
def test_what_the_last_seconds_show_becomes_events(limit) -> None:
    slid = Sliding(fake_classifier(limit))
    found = push(slid, [(3, 128), (1, 255), (3, 128), (1, 0), (3, 128), (1, 255), (2, 128)])
    assert [event.label for event in found] == ["a", "b", "a"]
    ended = slid.take_ended() + slid.close()
    if limit is None:  # grey is a and b, half each: neither is ever over
        return
    # A second of the gesture is the window's middle half a second later.
    for event, start in zip(ended, (3.0, 7.0, 11.0), strict=True):
        assert start + 0.3 <= event.start <= event.decided <= start + 1.2
        assert event.decided < event.end <= start + 2.2


def test_what_is_rejected_is_nothing_also_with_few_classes() -> None:
    slid = Sliding(fake_classifier(limit=10.0))
    assert push(slid, [(2, 255), (2, 0)]) == []
    assert slid.probabilities is None
    assert slid.newest[1].argmax() == slid.class_names.index(NOTHING)


def test_the_rate_of_the_frames_does_not_matter(monkeypatch) -> None:
    course = [(3, 128), (1, 255), (3, 128)]
    found = []
    for fps in (10.0, 15.0, 30.0):
        monkeypatch.setitem(globals(), "FPS", fps)
        slid = Sliding(fake_classifier())
        found.append([(event.label, event.decided) for event in push(slid, course)])
    assert [label for label, _ in found[0]] == ["a"]
    for other in found[1:]:
        assert [label for label, _ in other] == ["a"]
        assert other[0][1] == pytest.approx(found[0][0][1], abs=0.15)


def test_after_a_gap_the_stream_begins_anew() -> None:
    slid = Sliding(fake_classifier())
    push(slid, [(1.2, 255)])
    assert push(slid, [(0.3, 128)], begin=100.0) == []  # the bright frames are forgotten
    assert slid.probabilities is None
    assert [event.label for event in slid.take_ended()] == ["a"]


def test_frames_of_another_size_begin_another_stream() -> None:
    slid = Sliding(fake_classifier())
    push(slid, [(1.2, 255)])
    slid.push(np.full((80, 60, 3), 255, np.uint8), 1.25)
    assert slid.probabilities is None
    assert [event.label for event in slid.take_ended()] == ["a"]


def test_what_is_wrong_is_one_line() -> None:
    slid = Sliding(fake_classifier())
    slid.push(np.zeros((60, 80, 3), np.uint8), 5.0)
    with pytest.raises(Gesture3dError, match="after 5"):
        slid.push(np.zeros((60, 80, 3), np.uint8), 4.0)
    joints = Classifier(resource("weights") / "deepgru_small-utd_mhad_skeleton.safetensors")
    with pytest.raises(Gesture3dError, match="not what a camera shows"):
        Sliding(joints)


@pytest.mark.parametrize("said", [None, "x", -1.0, float("nan"), 1e9])
def test_a_window_that_is_none_is_the_usual_one(said) -> None:
    assert sliding.window_of({"window_seconds": said}) == sliding.WINDOW_SECONDS


def test_the_shipped_network_slides(tmp_path) -> None:
    real = Classifier(resource("weights") / "variant_a-synthetic.safetensors")
    one = OnlineDecision({"Swiping Left": 0.5}, 0.1)
    slid = Sliding(real, window_seconds=1.5, decision=one)
    push(slid, [(2, 128)])
    assert len(slid.newest[1]) == len(real.class_names) + 1


def test_a_network_of_files_of_hands_does_not_look_through_a_camera(tmp_path) -> None:
    settings = ("data.hands=true", "data.num_frames=8")
    classifier = untrained(tmp_path, "gru", "skeleton_folder", NUM_FEATURES, *settings)
    with pytest.raises(Gesture3dError, match="it reads skeleton, not what a camera shows"):
        Sliding(classifier)
