"""What a step of a stream costs, beside sliding the offline network."""

import pytest

from gesture3d.benchmarks.online import compare
from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError


def test_a_step_costs_its_share_of_a_clip():
    settings = ["model.width=0.125", "data.size=24", "model.preprocessing=channel_mean"]
    experiment = load_experiment("variant_a", "synthetic", settings)
    stepped, every_step, every_frame = compare(experiment, [16], 0, seconds=0)
    assert [row["a decision every"] for row in (stepped, every_step, every_frame)] == [
        "4 frames",
        "4 frames",
        "1 frames",
    ]
    assert stepped["multiply-adds / stepped"] == 1
    # 16 frames are four steps; a layer's first step has no hidden state to convolve offline.
    assert every_step["multiply-adds / stepped"] == pytest.approx(4, rel=0.02)
    assert every_frame["multiply-adds / stepped"] == pytest.approx(16, rel=0.02)
    assert all(row["ms a frame"] > 0 for row in (stepped, every_step, every_frame))


def test_sequences_are_stepped_too():
    experiment = load_experiment("gru", "sfinge3d", ["model.hidden_size=8"])
    _, _, *others = compare(experiment, [16], 6, seconds=0)
    assert not others


@pytest.mark.parametrize(
    ("name", "windows", "message"),
    [("r3d_18", [16], "r3d_18"), ("variant_a", [3], "3 frames.*takes 4")],
)
def test_what_cannot_be_compared_is_refused(name, windows, message):
    with pytest.raises(Gesture3dError, match=message):
        compare(load_experiment(name, "synthetic", []), windows, 0, seconds=0)
