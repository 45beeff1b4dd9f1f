import math

import numpy as np
import pytest
import torch
from torch import nn

from gesture3d.config import OptimConfig
from gesture3d.errors import Gesture3dError
from gesture3d.training.loss import Loss, class_weights
from gesture3d.training.optim import WeightAverage, build_optimizer, learning_rate


def test_polynomial_schedule_is_the_papers() -> None:
    config = OptimConfig(name="sgd", lr=1e-3, final_lr=1e-6, power=0.9, schedule="polynomial")
    assert learning_rate(config, 0, 100) == pytest.approx(1e-3)
    assert learning_rate(config, 50, 100) == pytest.approx((1e-3 - 1e-6) * 0.5**0.9 + 1e-6)
    assert learning_rate(config, 99, 100) == pytest.approx((1e-3 - 1e-6) * 0.01**0.9 + 1e-6)


def test_onecycle_rises_from_a_25th_to_the_peak_and_falls_to_the_end() -> None:
    config = OptimConfig(lr=1.0, final_lr=0.01, warmup=0.3, schedule="onecycle")
    rates = [learning_rate(config, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[300] == pytest.approx(1.0)
    assert rates[:301] == sorted(rates[:301])
    assert rates[300:] == sorted(rates[300:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert rates[650] == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi * 350 / 699)) / 2)


def test_cosine_without_warmup_starts_at_the_peak() -> None:
    config = OptimConfig(lr=1.0, final_lr=0.0, schedule="cosine")
    assert learning_rate(config, 0, 10) == pytest.approx(1.0)
    assert learning_rate(config, 9, 10) == pytest.approx(0.0)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weight_decay_can_spare_biases_and_norms(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    config = OptimConfig(name=name, weight_decay=0.1, decay_matrices_only=True)
    groups = build_optimizer(model, config).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {n: decay[id(p)] for n, p in model.named_parameters()} == {
        "0.weight": 0.1,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }


def test_weight_average_follows_its_definition() -> None:
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.5)
    expected = model.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            model.weight.add_(1.0)
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.model.weight, expected)


def test_class_weights_have_mean_one_over_the_samples() -> None:
    labels, names = np.array([0, 0, 0, 1, 2, 2]), ("a", "b", "c")
    balanced = class_weights("balanced", labels, names)
    torch.testing.assert_close(balanced, torch.tensor([2 / 3, 2.0, 1.0]))
    own = class_weights((1.0, 4.0, 0.0), labels, names)
    assert own[torch.from_numpy(labels)].mean() == pytest.approx(1)
    assert (own[1] / own[0], own[2]) == (pytest.approx(4), 0)
    assert class_weights(None, labels, names) is None
    with pytest.raises(Gesture3dError, match=r"2 weights for 3 classes.*a, b, c, or balanced"):
        class_weights((1.0, 1.0), labels, names)
    with pytest.raises(Gesture3dError, match="no training sample has a weight above 0"):
        class_weights((0.0, 0.0, 0.0), labels, names)


def test_class_weights_raise_the_macro_f1_of_overlapping_uneven_classes() -> None:
    """A line between two normal distributions, of 950 and 50 samples: unweighted it hardly ever
    names the rare one, whose half is then missed."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [950, 50])
    values = torch.from_numpy(rng.normal(1.5 * labels, 1.0)).float()[:, None]

    def macro_f1(weights: str | tuple[float, float] | None) -> float:
        line = nn.Linear(1, 2)
        optimizer = torch.optim.LBFGS(line.parameters(), max_iter=200)
        config = OptimConfig(class_weights=weights, label_smoothing=0.0)
        loss = Loss(config, labels, ("often", "rare"), torch.device("cpu"))

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            value = loss(line(values), torch.from_numpy(labels))
            value.backward()
            return value

        optimizer.step(closure)
        found = line(values).argmax(1).numpy()
        hits = [((found == k) & (labels == k)).sum() for k in (0, 1)]
        sizes = [(found == k).sum() + (labels == k).sum() for k in (0, 1)]
        return float(np.mean([2 * hit / size for hit, size in zip(hits, sizes, strict=True)]))

    assert macro_f1((1.0, 4.0)) > macro_f1(None) + 0.05


def test_epoch_sums_count_loss_hits_and_samples() -> None:
    from gesture3d.training.loop import _add_sums

    sums = torch.zeros(4, dtype=torch.float64)
    scores = torch.tensor([[2.0, 1, 0, -1, -2, -3], [0.0, 1, 2, 3, 4, 5]])
    _add_sums(sums, torch.tensor(0.5), scores, torch.tensor([0, 0]))
    np.testing.assert_allclose(sums, [1.0, 1, 1, 2])
