"""Late fusion: one prediction a sample out of several networks' predictions of it.

The streams may be of different modalities; what they must share is the split, the classes and the
samples' keys. Nothing is fitted on the samples that are fused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.bootstrap import Difference, paired_bootstrap
from gesture3d.evaluation.predictions import SplitPredictions

Rule = Literal["mean", "product", "weights"]


@dataclass(frozen=True)
class Stream:
    """Predictions, and the file that they were read from."""

    source: str
    predictions: SplitPredictions


@dataclass(frozen=True)
class Fusion:
    """Fused predictions, and the weight of each stream where weights were fitted."""

    predictions: SplitPredictions
    weights: np.ndarray | None


@dataclass(frozen=True)
class Contribution:
    """Accuracy (0..1) of one stream alone and of the fusion without it, and what it adds."""

    alone: float
    without: float
    added: Difference


def fuse(
    streams: Sequence[Stream], rule: Rule = "mean", fitting: Sequence[Stream] | None = None
) -> Fusion:
    """Fuse streams of the same samples (see `align`).

    ``mean``: mean of the probabilities. ``product``: their normalised geometric mean. ``weights``:
    the normalised product of powers of them, the exponents fitted on the streams' validation
    predictions, ``fitting``, in the same order. The scores are logarithms of the fused
    probabilities.
    """
    logs = _log_probabilities(streams)
    weights = None
    if rule == "mean":
        scores = logsumexp(logs, axis=0) - np.log(len(streams))
    else:
        weights = fit_weights(fitting) if rule == "weights" else None
        scores = log_softmax(logs.mean(axis=0) if weights is None else _pool(logs, weights), axis=1)
    first = streams[0].predictions
    fused = replace(
        first,
        scores=scores.astype(np.float32),
        data="+".join(stream.predictions.data for stream in streams),
    )
    return Fusion(fused, weights)


def fit_weights(streams: Sequence[Stream]) -> np.ndarray:
    """Weights w (K,), none negative, for log-probabilities Σₖ wₖ log pₖ + constant.

    A logarithmic opinion pool: a weight makes up for a stream that is too sure of itself or not
    sure enough, as well as for one that knows little. The weights minimise the cross-entropy,
    summed over the samples, plus ½ Σ (wₖ − 1)², which keeps few samples from deciding too much
    (weights of 1 take the streams for independent). The problem is convex.

    Raises:
        Gesture3dError: no sample has a label.
    """
    labels = streams[0].predictions.labels
    known = labels >= 0
    if not known.any():
        raise Gesture3dError(f"{streams[0].source}: no labels to fit the streams' weights on")
    logs = _log_probabilities(streams)[:, known]  # (K, N, classes)
    of_label = np.take_along_axis(logs, labels[known][None, :, None], axis=2)[..., 0]  # (K, N)

    def loss_and_gradient(weights: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = _pool(logs, weights)
        normalisers = logsumexp(pooled, axis=1)
        expected = (np.exp(pooled - normalisers[:, None]) * logs).sum(axis=(1, 2))
        loss = normalisers.sum() - (weights @ of_label).sum() + ((weights - 1) ** 2).sum() / 2
        return loss, expected - of_label.sum(axis=1) + weights - 1

    count = len(streams)
    found = minimize(loss_and_gradient, np.ones(count), jac=True, bounds=[(0, None)] * count)
    return found.x


def contributions(
    streams: Sequence[Stream], fusion: Fusion, rule: Rule, fitting: Sequence[Stream] | None = None
) -> list[Contribution]:
    """What each stream adds: the fusion compared with the same fusion of the others."""
    known = fusion.predictions.labels >= 0
    correct = fusion.predictions.correct[known]
    found = []
    for left_out in range(len(streams)):
        rest = [s for number, s in enumerate(streams) if number != left_out]
        rest_fitting = fitting and [s for n, s in enumerate(fitting) if n != left_out]
        without = fuse(rest, rule, rest_fitting).predictions.correct[known]
        alone = streams[left_out].predictions.correct[known]
        added = paired_bootstrap(correct, without)
        found.append(Contribution(float(alone.mean()), float(without.mean()), added))
    return found


def align(
    streams: Sequence[Stream], *, common: bool = False, say: Callable[[str], None] = print
) -> list[Stream]:
    """The streams with the same samples in the same order.

    Args:
        common: leave out, and say so, what not every stream has, instead of refusing it.

    Raises:
        Gesture3dError: fewer than two streams; other splits, classes or samples; one sample with
            two labels.
    """
    if len(streams) < 2:
        raise Gesture3dError("fusion needs two files of predictions or more")
    sources = [stream.source for stream in streams]
    if twice := [source for source in sources if sources.count(source) > 1]:
        raise Gesture3dError(f"{twice[0]}: given twice")
    first = streams[0]
    for other in streams[1:]:
        _check_same_kind(first, other)
    everywhere = set.intersection(*(set(s.predictions.keys) for s in streams))
    if not common:
        for other in streams[1:]:
            _check_same_keys(first, other)
    elif not everywhere:
        raise Gesture3dError("no sample is in all of the files")
    else:
        for stream in streams:
            if left_out := len(stream.predictions.keys) - len(everywhere):
                say(f"{stream.source}: {left_out} samples left out, which not every file has")
    keys = sorted(everywhere)
    aligned = [Stream(s.source, s.predictions.take(keys)) for s in streams]
    for other in aligned[1:]:
        _check_same_labels(aligned[0], other)
    return aligned


def check_fitting(streams: Sequence[Stream], fitting: Sequence[Stream]) -> None:
    """Whether weights for these streams may be fitted on those.

    Raises:
        Gesture3dError: not validation predictions, of other streams, or of the same samples.
    """
    if len(fitting) != len(streams):
        raise Gesture3dError(
            f"--weights-from: {len(fitting)} files for {len(streams)} streams; give one validation "
            "file for each, in the same order"
        )
    for stream, fit in zip(streams, fitting, strict=True):
        ours, theirs = stream.predictions, fit.predictions
        if theirs.split != "validation":
            raise Gesture3dError(
                f"{fit.source}: predictions of the {theirs.split} split; weights are fitted on the "
                "validation split alone (tools/evaluate.py --split validation)"
            )
        if ours.data != theirs.data:
            raise Gesture3dError(
                f"{fit.source}: predictions on {theirs.data}, but the stream in its place, "
                f"{stream.source}, is of {ours.data}; give the files in the same order"
            )
        _check_same_classes(stream, fit)
        shared = set(ours.keys) & set(theirs.keys)
        if shared:
            raise Gesture3dError(
                f"{fit.source}: {_counted(shared)} also among those of {stream.source}; weights "
                "must not be fitted on samples that are fused"
            )


def _check_same_kind(first: Stream, other: Stream) -> None:
    ours, theirs = first.predictions.split, other.predictions.split
    if ours != theirs:
        raise Gesture3dError(
            f"{other.source}: predictions of the {theirs} split, {first.source} is of the {ours} "
            "split"
        )
    _check_same_classes(first, other)


def _check_same_classes(first: Stream, other: Stream) -> None:
    ours, theirs = first.predictions.class_names, other.predictions.class_names
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        raise Gesture3dError(
            f"{other.source}: {len(theirs)} classes, {first.source} has {len(ours)}"
        )
    pairs = zip(ours, theirs, strict=True)
    number, a, b = next((n, a, b) for n, (a, b) in enumerate(pairs, start=1) if a != b)
    raise Gesture3dError(
        f"{other.source}: other classes, or in another order, than in {first.source}: class "
        f"{number} is {b!r}, there {a!r}"
    )


def _check_same_keys(first: Stream, other: Stream) -> None:
    ours, theirs = set(first.predictions.keys), set(other.predictions.keys)
    problems = []
    if missing := ours - theirs:
        problems.append(f"{_counted(missing)} missing, which {first.source} has")
    if foreign := theirs - ours:
        problems.append(f"{_counted(foreign)} foreign, which {first.source} has not")
    if problems:
        raise Gesture3dError(
            f"{other.source}: {'; '.join(problems)}; --common fuses the samples that all files have"
        )


def _check_same_labels(first: Stream, other: Stream) -> None:
    a, b = first.predictions, other.predictions
    differing = np.flatnonzero(a.labels != b.labels)
    if len(differing):
        keys = {a.keys[row] for row in differing}
        raise Gesture3dError(
            f"{other.source}: {_counted(keys)} with another label than in {first.source}"
        )


def _counted(keys: set[str], limit: int = 3) -> str:
    """``5 samples (a, b, c, …)``."""
    shown = ", ".join(sorted(keys)[:limit]) + (", …" if len(keys) > limit else "")
    return f"{len(keys)} sample{'s' if len(keys) > 1 else ''} ({shown})"


def _pool(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(K, N, classes) log-probabilities as their weighted sum (N, classes)."""
    return np.tensordot(weights, logs, axes=1)


def _log_probabilities(streams: Sequence[Stream]) -> np.ndarray:
    """(K, N, classes) float64."""
    return np.stack([log_softmax(s.predictions.scores.astype(np.float64), 1) for s in streams])
