"""What is compared of an exported file, on scores alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gesture3d.decisions import OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.export.described import Exported
from gesture3d.export.verify import STABILISED_TOLERANCE, TOLERANCE, Inputs, prove
from gesture3d.models.online import OnlineNetwork


class Said(OnlineNetwork):
    """A network whose scores are given."""

    def __init__(self, scores: np.ndarray):
        super().__init__()
        self.scores = scores

    def step_scores(self, inputs, lengths=None):
        return torch.from_numpy(self.scores)


def proof(expected: np.ndarray, found: np.ndarray, online: OnlineDecision | None = None):
    shape, names = (1, 3), ["a", "b"]
    exported = Exported("step", "gru", names, "sequences", shape, step_frames=1, online=online)
    inputs = Inputs([np.zeros((1, expected.shape[1], 3), np.float32)])
    return prove(Said(expected), exported, inputs, [found], "here", "x.onnx")


def waves(height: float) -> np.ndarray:
    """Scores (1, 60, 2): class a, class b and class a again."""
    signs = np.repeat([1.0, -1.0, 1.0], 20)
    changes = np.sin(np.arange(60)) * height / 4
    return np.stack([signs * height + changes, 0 * signs], 1)[None].astype(np.float32)


def test_events_of_streams_are_counted() -> None:
    scores = waves(3.0)
    found = proof(scores, scores + np.float32(5e-5))
    assert found.difference == pytest.approx(5e-5, rel=0.01)
    assert found.events >= 2


def test_a_score_that_differs_is_refused() -> None:
    scores = waves(3.0)
    other = scores.copy()
    other[0, 30, 1] += 2 * TOLERANCE
    with pytest.raises(Gesture3dError, match=r"not kept, as here differs from PyTorch by 0\.0002"):
        proof(scores, other)
    other[0, 30, 1] = np.nan
    with pytest.raises(Gesture3dError, match="not finite"):
        proof(scores, other)


def test_scores_of_stabilised_clips_may_differ_more() -> None:
    scores, names = np.zeros((1, 2), np.float32), ["a", "b"]
    exported = Exported("clip", "gesture_net", names, "clips", (1, 3, 4, 4))
    inputs = Inputs([np.zeros((1, 1, 3, 4, 4), np.uint8)])
    model = torch.nn.Module()
    model.preprocessing = SimpleNamespace(stabilise=True)
    model.forward = lambda x: torch.zeros(1, 2)
    near = scores + np.float32(0.9 * STABILISED_TOLERANCE)
    assert prove(model, exported, inputs, [near], "here", "x.onnx").difference > TOLERANCE
    with pytest.raises(Gesture3dError, match=r"at most 0\.001"):
        prove(model, exported, inputs, [2 * near], "here", "x.onnx")


def test_another_event_is_refused() -> None:
    """Also where every score is nearly right, as the network's own decision is."""
    scores = waves(3.0)
    scores[0, 40:, 0] = 2e-5
    other = scores.copy()
    other[0, 40:, 0] = -2e-5
    with pytest.raises(Gesture3dError, match="events differ"):
        proof(scores, other, OnlineDecision({"a": 0.5}))


def test_rounding_decides_no_event() -> None:
    """Of a network that hardly moves, no event is compared."""
    scores = waves(1e-5)
    assert proof(scores, scores[:, ::-1].copy()).events == 0
