"""Metrics and intervals against independent evaluations of their definitions."""

import math

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import paired_bootstrap, top1_interval
from gesture3d.evaluation.calibration import calibration_error
from gesture3d.evaluation.metrics import compute_metrics
from gesture3d.evaluation.predict import Predictions
from gesture3d.rng import generator


def predictions_from(matrix: np.ndarray) -> Predictions:
    """Samples whose confusion matrix this is."""
    pairs = [(i, j) for i, j in np.ndindex(matrix.shape) for _ in range(matrix[i, j])]
    scores = np.full((len(pairs), len(matrix)), -1.0, np.float32)
    for row, (_, predicted) in enumerate(pairs):
        scores[row, predicted] = 2.0
    keys = [str(number) for number in range(len(pairs))]
    return Predictions(keys, scores, np.array([label for label, _ in pairs]))


def random_predictions(count: int = 400, classes: int = 9) -> Predictions:
    rng = generator("metrics", count, classes)
    labels = rng.integers(0, classes - 1, count)  # the last class has no samples
    scores = rng.normal(size=(count, classes)) * 2
    scores[np.arange(count), labels] += 2
    return Predictions([f"{n:04d}" for n in range(count)], scores.astype(np.float32), labels)


def test_f1_scores_of_a_worked_example() -> None:
    """Precision and recall by hand: class 0 2/3 and 1/2, class 1 1/2 and 2/3, class 2 unused."""
    metrics = compute_metrics(predictions_from(np.array([[2, 2, 0], [1, 2, 0], [0, 0, 0]])))
    f1 = [2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2), 2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3)]
    assert metrics.precision == pytest.approx([2 / 3, 1 / 2, 0])
    assert metrics.recall == pytest.approx([1 / 2, 2 / 3, 0])
    assert metrics.f1 == pytest.approx([*f1, 0])
    assert metrics.weighted_f1 == pytest.approx((4 * f1[0] + 3 * f1[1]) / 7)
    assert metrics.macro_f1 == pytest.approx(sum(f1) / 2)
    assert metrics.per_class()[1] == pytest.approx(
        {"samples": 3, "correct": 2, "precision": 1 / 2, "recall": 2 / 3, "f1": f1[1]}
    )


def test_a_class_that_is_never_found_counts_in_macro_f1() -> None:
    metrics = compute_metrics(predictions_from(np.array([[90, 0], [10, 0]])))
    assert metrics.weighted_f1 == pytest.approx(0.9 * 2 * 90 / 190)
    assert metrics.macro_f1 == pytest.approx(90 / 190)
    assert metrics.mean_class_accuracy == pytest.approx(0.5)


def test_a_class_without_samples_is_not_in_the_mean_class_accuracy() -> None:
    """It is predicted once; the accuracies of the other two are 2/3 and 1."""
    metrics = compute_metrics(predictions_from(np.array([[2, 0, 1], [0, 4, 0], [0, 0, 0]])))
    assert metrics.mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_every_metric_is_that_of_its_definition() -> None:
    found = random_predictions()
    metrics = compute_metrics(found)
    scores, labels = found.scores.astype(np.float64), found.labels
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rank = (scores > scores[np.arange(len(labels)), labels][:, None]).sum(axis=1)
    of_label = probabilities[np.arange(len(labels)), labels]
    assert metrics.loss == pytest.approx(-np.log(of_label).mean(), rel=1e-5)
    assert metrics.top1 == pytest.approx((rank == 0).mean()) == found.correct.mean()
    assert metrics.top5 == pytest.approx((rank < 5).mean())
    recalls = [(rank[labels == c] == 0).mean() for c in range(8)]
    assert metrics.mean_class_accuracy == pytest.approx(np.mean(recalls))
    error = calibration_error(probabilities, labels)
    assert metrics.calibration_error == pytest.approx(error, rel=1e-3)
    predicted, f1 = scores.argmax(axis=1), []
    for c in range(9):  # harmonic means; the last class has no samples, but is predicted
        precision, recall = (
            ((labels == c) & (predicted == c)).sum() / max(of.sum(), 1)
            for of in (predicted == c, labels == c)
        )
        assert (metrics.precision[c], metrics.recall[c]) == pytest.approx((precision, recall))
        f1.append(2 * precision * recall / (precision + recall) if recall else 0.0)
    assert metrics.f1 == pytest.approx(f1)
    assert metrics.macro_f1 == pytest.approx(np.mean(f1))
    assert metrics.weighted_f1 == pytest.approx(np.average(f1[:8], weights=np.bincount(labels)))


def test_the_calibration_does_not_depend_on_a_shift_of_the_scores() -> None:
    """Scores that happen to lie between 0 and 1 are scores still, not probabilities."""
    found = random_predictions()
    narrow = Predictions(found.keys, found.scores * 0.05 + 0.5, found.labels)
    assert ((narrow.scores > 0) & (narrow.scores < 1)).all()
    shifted = Predictions(found.keys, narrow.scores - 7, found.labels)
    a, b = compute_metrics(narrow), compute_metrics(shifted)
    assert a.calibration_error == pytest.approx(b.calibration_error, abs=1e-4)


def test_unlabelled_samples_are_not_counted() -> None:
    found = random_predictions()
    labels = found.labels.copy()
    labels[::3] = -1
    known = labels >= 0
    keys = [key for key, k in zip(found.keys, known, strict=True) if k]
    some = compute_metrics(Predictions(found.keys, found.scores, labels))
    rest = compute_metrics(Predictions(keys, found.scores[known], labels[known]))
    assert some.all_scalars() == rest.all_scalars()
    with pytest.raises(Gesture3dError, match="no labelled sample"):
        compute_metrics(Predictions(found.keys, found.scores, np.full(len(labels), -1)))


# --- intervals -----------------------------------------------------------------------------------


def outcomes(right: int, wrong: int) -> np.ndarray:
    return np.repeat([True, False], [right, wrong])


def test_the_interval_of_an_accuracy_is_that_of_drawn_samples() -> None:
    """Against resampling one by one, and the normal approximation."""
    correct = outcomes(140, 60)
    low, high = top1_interval(correct)
    rng = generator("one by one")
    shares = correct[rng.integers(0, 200, (4000, 200))].mean(axis=1)
    assert (low, high) == pytest.approx(np.percentile(shares, (2.5, 97.5)), abs=0.0101)
    margin = 1.96 * math.sqrt(0.7 * 0.3 / 200)
    assert (low, high) == pytest.approx((0.7 - margin, 0.7 + margin), abs=0.01)
    assert top1_interval(correct) == (low, high)  # seeded
    assert top1_interval(outcomes(50, 0)) == (1.0, 1.0)


@pytest.mark.parametrize(("only_a", "only_b"), [(20, 8), (15, 12), (40, 10), (9, 9)])
def test_the_paired_test_agrees_with_the_sign_test(only_a: int, only_b: int) -> None:
    """McNemar's: of the samples on which a and b disagree, is a right more often than half?"""
    from scipy.stats import binom, binomtest

    both, neither = 150, 30
    a = np.concatenate([outcomes(both, neither), outcomes(only_a, only_b)])
    b = np.concatenate([outcomes(both, neither), ~outcomes(only_a, only_b)])
    found = paired_bootstrap(a, b)
    count, total = only_a + only_b, len(a)
    assert found.difference == pytest.approx((only_a - only_b) / total)
    exact = binomtest(only_a, count).pvalue
    mid_p = min(exact - binom.pmf(only_a, count, 0.5), 1)  # half of the observed on each side
    assert mid_p - 0.01 <= found.p_value <= exact + 0.03
    spread = 1.96 * math.sqrt(count - (only_a - only_b) ** 2 / total) / total
    interval = (found.difference - spread, found.difference + spread)
    assert (found.low, found.high) == pytest.approx(interval, abs=0.01)
    mirrored = paired_bootstrap(b, a)
    assert mirrored.difference == -found.difference
    assert mirrored.p_value == pytest.approx(found.p_value, abs=0.02)


def test_equal_predictions_are_not_different_and_unpaired_ones_are_refused() -> None:
    a = outcomes(5, 3)
    assert paired_bootstrap(a, a) == (0.0, 0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="paired"):
        paired_bootstrap(a, a[:-1])


def test_the_paired_test_is_honest() -> None:
    """Of equally good networks, about one in twenty comparisons has p <= 0.05."""
    rng = generator("null")
    p = [
        paired_bootstrap(*(rng.random((2, 300)) < 0.8), resamples=1000, seed=n).p_value
        for n in range(400)
    ]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.08
