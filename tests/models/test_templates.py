"""Templates and their warped distance, against an independent evaluation."""

import numpy as np
import pytest
import torch

from gesture3d.errors import Gesture3dError
from gesture3d.models.templates import FARTHEST, Templates, warped_distances


def by_definition(x: np.ndarray, y: np.ndarray, band: int) -> float:
    """Sakoe & Chiba's recursion cell by cell, float64."""
    size = len(x)
    total = np.full((size + 1, size + 1), np.inf)
    total[0, 0] = 0.0
    for i in range(1, size + 1):
        for j in range(1, size + 1):
            if abs(i - j) <= band:
                steps = total[i - 1, j], total[i, j - 1], total[i - 1, j - 1]
                total[i, j] = ((x[i - 1] - y[j - 1]) ** 2).sum() + min(steps)
    return float(np.sqrt(total[size, size] / size))


@pytest.mark.parametrize("band", [0, 1, 3, 20])
def test_warped_distances_are_those_of_the_definition(band) -> None:
    rng = np.random.default_rng(band)
    x, y = rng.normal(size=(3, 9, 2)), rng.normal(size=(4, 9, 2))
    found = warped_distances(torch.from_numpy(x), torch.from_numpy(y), band)
    expected = [[by_definition(a, b, band) for b in y] for a in x]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def make(num_templates: int = 5, num_classes: int = 3) -> Templates:
    model = Templates(4, num_classes, num_templates, num_frames=9, band=2).eval()
    model.templates.copy_(torch.randn(model.templates.shape))
    return model


def test_a_template_is_its_own_class_and_a_batch_changes_nothing() -> None:
    torch.manual_seed(0)
    model = make()
    scores = model(model.templates)
    assert scores.argmax(dim=1).tolist() == model.nearest.classes.tolist() == [0, 1, 2, 0, 1]
    assert scores.max(dim=1).values.abs().max() < 0.05
    torch.testing.assert_close(model(model.templates[3:4]), scores[3:4], atol=0.05, rtol=1e-4)


def test_features_without_weight_do_not_count() -> None:
    torch.manual_seed(0)
    model = make()
    model.weights.copy_(torch.tensor([1.0, 0.5, 0.0, 0.0]))
    inputs = torch.randn(6, 9, 4)
    changed = inputs.clone()
    changed[..., 2:] += 9.0
    torch.testing.assert_close(model(inputs), model(changed))
    assert not torch.allclose(model(inputs), model(changed.roll(1, dims=2)))


def test_a_class_without_template_is_far_and_other_shapes_are_refused() -> None:
    model = make(num_templates=2, num_classes=3)
    assert model(torch.zeros(1, 9, 4))[0, 2] == -10 * FARTHEST
    with pytest.raises(Gesture3dError, match="sequences of 8 frames with 4 features"):
        model(torch.zeros(1, 8, 4))
