"""How sure an accuracy is, and a difference of two, over the evaluated samples and over runs.

Drawing n of n samples with replacement and counting the correct ones is a binomial (of paired
samples a multinomial) draw, so no sample is ever drawn one by one. Samples count as independent:
where several come from one person, the true uncertainty is larger.
"""

from typing import NamedTuple

import numpy as np

from gesture3d.rng import generator

RESAMPLES = 10_000


class Difference(NamedTuple):
    """Accuracy of a minus that of b (-1..1), its 95 % interval, and the two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def top1_interval(
    correct: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the share of correct samples.

    Args:
        correct: (N,) bool, one a sample. Where all are right, or none, the interval is one point.
    """
    count = len(correct)
    rng = generator(seed, "bootstrap")
    shares = rng.binomial(count, np.mean(correct), size=resamples) / count
    low, high = np.percentile(shares, (2.5, 97.5))
    return float(low), float(high)


def paired_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Is a better than b on the same samples, or is it chance?

    The interval comes from resampling the pairs. The p-value is how often resampled pairs, in
    which a and b are swapped at random (so that neither is better), differ by as much as these.

    Args:
        correct_a, correct_b: (N,) bool in the same order of samples.

    Raises:
        ValueError: different numbers of samples, or none.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    count = len(a)
    if a.shape != b.shape or count == 0:
        raise ValueError(f"paired samples are needed, not {a.shape} and {b.shape}")
    only_a, only_b = (a & ~b).mean(), (b & ~a).mean()
    equal = max(1.0 - only_a - only_b, 0.0)
    rng = generator(seed, "paired bootstrap")
    drawn = rng.multinomial(count, (only_a, only_b, equal), size=resamples)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / count, (2.5, 97.5))
    either = (only_a + only_b) / 2
    swapped = rng.multinomial(count, (either, either, equal), size=resamples)
    observed = abs(np.count_nonzero(a) - np.count_nonzero(b))
    as_far = np.count_nonzero(abs(swapped[:, 0] - swapped[:, 1]) >= observed)
    p_value = (as_far + 1) / (resamples + 1)  # never 0: the observed one is one of them
    return Difference(float(only_a - only_b), float(low), float(high), p_value)


def compare_runs(correct_a: np.ndarray, correct_b: np.ndarray) -> Difference:
    """Is the recipe a better than b? Several runs of each, on the same samples.

    The difference is that of the mean accuracies. Its variance has three parts: that of the
    samples, in pairs, and those of the means over the runs of a and of b, s² / runs each. With few
    runs s is little known, so the quantiles are Student's, with the degrees of freedom of Welch
    ("The generalization of Student's problem", 1947) where the samples' part has infinitely many.
    A single run says nothing about other seeds: then only the samples count, and of one run each
    this is `paired_bootstrap`.

    Args:
        correct_a, correct_b: (runs, N) bool, in the same order of samples.

    Raises:
        ValueError: different numbers of samples, or none.
    """
    from scipy.stats import t

    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if len(a) == len(b) == 1:
        return paired_bootstrap(a[0], b[0])
    if a.shape[1] != b.shape[1] or a.size == 0 or b.size == 0:
        raise ValueError(f"paired samples are needed, not {a.shape} and {b.shape}")
    difference = float(a.mean() - b.mean())
    of_samples = (a.mean(0) - b.mean(0)).var() / max(a.shape[1] - 1, 1)
    of_runs = [runs.mean(1).var(ddof=1) / len(runs) if len(runs) > 1 else 0.0 for runs in (a, b)]
    error = float(np.sqrt(of_samples + sum(of_runs)))
    if error == 0.0:
        return Difference(difference, difference, difference, float(difference == 0.0))
    unsure = sum(v**2 / (len(x) - 1) for v, x in zip(of_runs, (a, b), strict=True) if v > 0)
    freedom = error**4 / unsure if unsure else np.inf
    half = float(t.ppf(0.975, freedom)) * error
    p_value = float(2 * t.sf(abs(difference) / error, freedom))
    return Difference(
        difference, max(difference - half, -1.0), min(difference + half, 1.0), p_value
    )


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, ``right`` of ``total`` > 0, which is honest for few samples and
    where all are right (Wilson, "Probable inference, the law of succession, and statistical
    inference", Journal of the American Statistical Association 22, 1927)."""
    share, z = right / total, 1.959964
    middle = share + z * z / (2 * total)
    spread = z * np.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    scale = 1 + z * z / total
    return float(max((middle - spread) / scale, 0.0)), float(min((middle + spread) / scale, 1.0))
