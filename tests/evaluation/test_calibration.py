"""Temperature, calibration error and the telling apart of the unknown, each by its definition."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import (
    auroc,
    calibrate,
    calibrated,
    calibration_error,
    fit_temperature,
    highest_probability,
    highest_score,
    negative_energy,
    threshold,
)
from gesture3d.evaluation.predict import Predictions
from gesture3d.rng import generator


def honest(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose softmax is how often each class is the label."""
    rng = generator("honest", count, classes, seed)
    scores = rng.normal(size=(count, classes)) * 2
    uniform = rng.random((count, 1))
    labels = (softmax(scores, axis=1).cumsum(axis=1) < uniform).sum(axis=1)
    return scores, labels.clip(0, classes - 1)


@pytest.mark.parametrize("true", [0.2, 1.0, 3.7])
def test_the_temperature_undoes_what_made_scores_too_sure_or_unsure(true) -> None:
    scores, labels = honest(4000, 7)
    found = fit_temperature(scores * true, labels)
    assert found == pytest.approx(true, rel=0.05)
    before = calibration_error(softmax(scores * true, axis=1), labels)
    after = calibration_error(softmax(scores * true / found, axis=1), labels)
    assert after < 0.03  # so far from 0 by chance
    assert true == 1.0 or before > 3 * after


def test_no_other_temperature_has_less_cross_entropy() -> None:
    """Against a search over a fine grid; the pull towards 1 hardly counts among 500 samples."""
    scores, labels = honest(500, 5, seed=1)
    rows, grid = np.arange(500), np.geomspace(0.05, 20, 4001)
    losses = [-log_softmax(scores * 2.5 / t, axis=1)[rows, labels].mean() for t in grid]
    assert fit_temperature(scores * 2.5, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.01)


def test_the_temperature_stays_bounded_where_the_best_one_is_not() -> None:
    scores, _ = honest(50, 4)
    right, wrong = scores.argmax(axis=1), scores.argmin(axis=1)
    assert 0.05 < fit_temperature(scores, right) < 1  # would be 0
    assert fit_temperature(scores * 1000, wrong) == 100.0  # would be infinite
    assert fit_temperature(scores[:, :1], np.zeros(50, int)) == pytest.approx(1.0)  # says nothing
    assert fit_temperature(scores[:1] * 0, right[:1]) == pytest.approx(1.0)
    few = [fit_temperature(s[None], r[None]) for s, r in zip(scores[:5], right, strict=False)]
    assert all(0.3 < one <= 1.0 for one in few)


def test_the_calibration_error_is_that_of_its_definition() -> None:
    scores, labels = honest(700, 6)
    probabilities = softmax(scores * 3, axis=1)
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for number in range(15):
        inside = (highest > number / 15) & (highest <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - highest[inside].mean())
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    assert calibration_error(np.eye(3), np.array([0, 1, 1])) == pytest.approx(1 / 3)  # sure of all
    assert calibration_error(np.ones((4, 1)), np.zeros(4, int)) == 0.0


def test_the_area_counts_pairs() -> None:
    rng = generator("pairs")
    known, unknown = rng.integers(0, 9, 60) + 2, rng.integers(0, 9, 45)  # with ties
    pairs = [(k > u) + 0.5 * (k == u) for k in known for u in unknown]
    assert auroc(known, unknown) == pytest.approx(np.mean(pairs))
    assert auroc(np.ones(3), np.zeros(2)) == 1.0
    assert auroc(np.ones(3), np.ones(2)) == 0.5


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.95, 1.0])
def test_a_threshold_keeps_its_share_and_no_higher_one_does(kept) -> None:
    values = generator("kept").normal(size=173)
    found = threshold(values, kept)
    assert (values >= found).mean() >= kept
    assert (values > found).mean() < kept
    assert threshold(np.array([3.0]), kept) == 3.0


def test_the_scores_of_the_known_are_those_of_their_definitions() -> None:
    scores = np.log(np.array([[8.0, 1.0, 1.0], [2.0, 2.0, 0.5]]))
    assert highest_probability(scores) == pytest.approx([0.8, 2 / 4.5])
    assert highest_score(scores) == pytest.approx(np.log([8, 2]))
    assert negative_energy(scores) == pytest.approx(np.log([10, 4.5]))
    assert negative_energy(scores + 700) == pytest.approx(np.log([10, 4.5]) + 700)


def test_a_calibration_keeps_every_answer_and_its_share_of_the_known() -> None:
    scores, labels = honest(800, 5)
    labels[::9] = -1  # unlabelled ones say nothing
    found = Predictions([str(n) for n in range(800)], (scores * 3).astype(np.float32), labels)
    calibration = calibrate(found, "these")
    assert (calibration.num_samples, calibration.data) == (int((labels >= 0).sum()), "these")
    assert calibration.temperature == pytest.approx(3, rel=0.15)
    after = calibrated(found, calibration)
    assert np.array_equal(after.classes, found.classes)
    assert calibrated(found, None) is found
    highest = highest_score(after.scores)[labels >= 0]
    for kept in (0.5, 0.9, 0.95, 0.99, 0.995):
        assert (highest >= calibration.threshold(kept)).mean() == pytest.approx(kept, abs=0.006)
    assert (highest >= calibration.threshold(1.0)).all()
    few = Predictions(found.keys[:20], found.scores[:20], labels[:20].clip(0))
    calibration = calibrate(few, "few")
    kept = highest_score(calibrated(few, calibration).scores) >= calibration.threshold(0.95)
    assert kept.sum() == 20  # less of one of twenty is none


@pytest.mark.parametrize(
    ("scores", "labels", "why"),
    [
        ([[1.0, 2.0]], [-1], "no sample has a label"),
        ([[1.0, np.nan], [1.0, 2.0]], [0, 1], "not finite"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(scores, labels, why) -> None:
    found = Predictions(["a", "b"][: len(labels)], np.float32(scores), np.array(labels))
    with pytest.raises(Gesture3dError, match=f"these: .*{why}"):
        calibrate(found, "these")
