"""How far probabilities can be trusted, and which samples are of no known class.

A network's scores are divided by one temperature, fitted on validation (Guo et al., "On Calibration
of Modern Neural Networks", ICML 2017, section 4.2): no answer changes, only how sure it is of it.
A sample whose highest score is lower than that of nearly all validation samples is "none of these"
(the maximum logit of Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World
Settings", ICML 2022). All in float64.
"""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

from gesture3d.decisions import Calibration
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predict import Predictions

BINS = 15
KEPT = 0.95  # of the known samples, where nothing else is asked for
HIGHEST = 100.0  # temperature; the lowest is its inverse

AnyPredictions = TypeVar("AnyPredictions", bound=Predictions)


def calibrate(predictions: Predictions, data: str) -> Calibration:
    """Temperature and thresholds for scores such as these, which are the network's own.

    Args:
        data: what the samples are, for the record.

    Raises:
        Gesture3dError: no sample has a label, or scores are not finite.
    """
    known = predictions.labels >= 0
    scores = predictions.scores[known].astype(np.float64)
    if not known.any():
        raise Gesture3dError(f"{data}: no sample has a label to calibrate on")
    if not np.isfinite(scores).all():
        raise Gesture3dError(f"{data}: scores are not finite, so they cannot be calibrated")
    temperature = fit_temperature(scores, predictions.labels[known])
    highest = highest_score(scores / temperature)
    quantiles = np.quantile(highest, np.linspace(0.0, 1.0, 101), method="lower")
    return Calibration(temperature, quantiles.tolist(), len(scores), data)


def calibrated(predictions: AnyPredictions, calibration: Calibration | None) -> AnyPredictions:
    """The same with the network's scores divided by the temperature."""
    if calibration is None:
        return predictions
    scores = (predictions.scores / calibration.temperature).astype(np.float32)
    return replace(predictions, scores=scores)


def effect(predictions: Predictions, calibration: Calibration) -> dict[str, float]:
    """``temperature``, and ``calibration_error_before`` and ``_after`` it, of the network's own
    scores."""
    known = predictions.labels >= 0
    before, after = (
        calibration_error(found.probabilities[known], found.labels[known])
        for found in (predictions, calibrated(predictions, calibration))
    )
    return {
        "temperature": calibration.temperature,
        "calibration_error_before": before,
        "calibration_error_after": after,
    }


def in_words(found: dict[str, float]) -> str:
    """What `effect` returns, in a sentence."""
    before, after = (found[f"calibration_error_{when}"] for when in ("before", "after"))
    return (
        f"temperature {found['temperature']:.3f}; expected calibration error {before:.1%} before "
        f"and {after:.1%} after, on the samples that it is fitted on"
    )


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T with the least cross-entropy of softmax(scores / T).

    In w = 1/T the cross-entropy is convex. ½ (w − 1)² is added to its sum over the samples: of many
    samples it decides nothing, and it keeps T finite and above 0 where all are classified correctly
    (T → 0) or there are few.

    Args:
        scores: (N, K), finite.
        labels: (N,), each 0 … K − 1.
    """
    from scipy.optimize import brentq  # here, as to import it takes most of a second

    scores = scores - scores.max(axis=1, keepdims=True)
    of_label = np.take_along_axis(scores, labels[:, None], axis=1).sum()

    def slope(w: float) -> float:
        expected = (softmax(w * scores, axis=1) * scores).sum()
        return expected - of_label + w - 1.0

    lowest, highest = 1.0 / HIGHEST, HIGHEST
    if slope(lowest) >= 0.0:
        return HIGHEST
    return 1.0 / (brentq(slope, lowest, highest) if slope(highest) > 0.0 else highest)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error, 0..1 (Guo et al., equation 3).

    The mean over the samples of |accuracy − mean confidence| of the bin that a sample's highest
    probability falls in: 15 bins of equal width, each with its upper edge.

    Args:
        probabilities: (N, K), N > 0.
        labels: (N,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    gaps = (probabilities.argmax(axis=1) == labels) - confidence
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return float(np.abs(np.bincount(bins, gaps, minlength=BINS)).sum() / len(labels))


def highest_probability(scores: np.ndarray) -> np.ndarray:
    """(N, K) → (N,), 0..1 (Hendrycks & Gimpel, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples in Neural Networks", ICLR 2017)."""
    return np.exp(log_softmax(scores.astype(np.float64), axis=1).max(axis=1))


def highest_score(scores: np.ndarray) -> np.ndarray:
    """(N, K) → (N,): unlike the highest probability, low where all scores are."""
    return scores.astype(np.float64).max(axis=1)


def negative_energy(scores: np.ndarray) -> np.ndarray:
    """(N, K) → (N,): log Σ exp(scores) (Liu et al., "Energy-based Out-of-distribution Detection",
    NeurIPS 2020, equation 4; divided by the temperature where the scores are)."""
    return logsumexp(scores.astype(np.float64), axis=1)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The area under the receiver's curve: how often a known sample has the higher value of the two
    than an unknown one, ties counting half.

    Args:
        known, unknown: (N,), (M,), neither empty.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([known, unknown]))[: len(known)]
    above = ranks.sum() - len(known) * (len(known) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def threshold(known: np.ndarray, kept: float = KEPT) -> float:
    """The highest of the known samples' values that at least this share of them reaches."""
    return float(np.quantile(known, 1.0 - kept, method="lower"))
