"""What a causal network on streams has to beat: classifiers of single windows that slide along.

Both see the last `WINDOW` seconds, resampled to `STEPS` frames; their online decision is chosen on
the validation streams as that of networks is, its lag included. Multinomial logistic regression
learns the training streams' gestures, and "No gesture" from windows between them. The other one
compares with training gestures by dynamic time warping (Sakoe and Chiba 1978, band of a fifth), and
takes the nearest of each class. A network that was trained on clips may slide, too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gesture3d.data.index import Index, Item
from gesture3d.data.skeleton.streams import SkeletonStreams
from gesture3d.data.skeleton.transforms import chain_length, features, resample
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.spotting import Spotting, measure
from gesture3d.events import NO_GESTURE
from gesture3d.inference.choosing import choose_decision
from gesture3d.inference.classifier import Classifier
from gesture3d.inference.online import StreamScores, find_events
from gesture3d.inference.stream_predictions import events_of_streams

WINDOW = 2.0  # seconds
HOP = 0.1  # seconds from window to window
STEPS = 16
LAGS = (0.0, 0.25, 0.5, 0.75, 1.0)
BACKGROUND = 3  # windows of no gesture for each gesture

BORDERS = (0.05, 0.1, 0.2, 0.3, 0.5)  # quantiles of the distances to the nearest gesture

# Windows (T, J, C) → scores (N, K), or distances to gestures (N, K - 1).
Classify = Callable[[Sequence[np.ndarray]], np.ndarray]
OfFeatures = Callable[[np.ndarray], np.ndarray]  # the same of (N, STEPS, D)


@dataclass(frozen=True)
class Baseline:
    """Attributes:
    name: what slides.
    validation, test: its events measured on the two splits.
    """

    name: str
    validation: Spotting
    test: Spotting


def baselines(
    index: Index,
    data: SkeletonStreams,
    measure_by: str,
    seed: int,
    weights: Path | str | None = None,
) -> list[Baseline]:
    """Each on the test streams.

    Args:
        index: with train, validation and test streams.
        measure_by: what the decision makes greatest, one of `choosing.MEASURES`.
        weights: a network that was trained on clips of the gestures, which slides as well.

    Raises:
        Gesture3dError: a split is missing, or the network has other classes.
    """
    for split in ("train", "validation", "test"):
        if not index.of(split):
            raise Gesture3dError(f"{data.root}: no {split} streams to compare on")
    rng = np.random.default_rng(seed)
    x, y = _examples(index, data, rng)
    count = len(index.class_names)
    learnt = {
        "logistic regression": (_of_features(logistic_regression(x, y, count), data), [None]),
        "nearest neighbour, DTW": (_of_features(nearest_by_dtw(x, y, count), data), BORDERS),
    }
    if weights:
        learnt["the network for clips"] = (network_for_clips(weights, index), BORDERS)
    return [_slide(name, *how, index, data, measure_by) for name, how in learnt.items()]


def _slide(
    name: str,
    classify: Classify,
    borders: Sequence[float | None],
    index: Index,
    data: SkeletonStreams,
    measure_by: str,
) -> Baseline:
    """The best of the borders between distances to gestures and no gesture, by validation; None:
    there are scores, not distances."""
    raw = {
        split: {item.key: _scores(item, classify, data) for item in index.of(split)}
        for split in ("validation", "test")
    }
    truth = {split: events_of_streams(index.of(split)) for split in raw}
    names, tried = index.class_names, []
    for border in borders:
        scores = raw if border is None else _from_distances(raw, border)
        decision = choose_decision(
            scores["validation"],
            truth["validation"],
            names,
            [name for name in names if name != NO_GESTURE],
            data="validation streams",
            measure=measure_by,
            lags=LAGS,
        )
        tried.append((decision, scores))
    decision, scores = max(tried, key=lambda pair: pair[0].value)

    def measured(split: str) -> Spotting:
        streams: Mapping[str, StreamScores] = scores[split]
        found = {key: find_events(stream, decision, names) for key, stream in streams.items()}
        lengths = {key: float(stream.seconds[-1]) for key, stream in streams.items()}
        return measure(truth[split], found, lengths)

    return Baseline(name, measured("validation"), measured("test"))


def _from_distances(raw: dict, border: float) -> dict[str, dict[str, StreamScores]]:
    """Scores that fall with the distance; "No gesture" is at a quantile of the nearest ones."""
    nearest = np.concatenate([s.scores.min(axis=1) for s in raw["validation"].values()])
    far, low, high = np.quantile(nearest, [border, 0.25, 0.75])
    width = max((high - low) / 5, 1e-6)

    def scored(stream: StreamScores) -> StreamScores:
        background = np.full((len(stream.scores), 1), far)
        return StreamScores(stream.seconds, -np.hstack([stream.scores, background]) / width)

    return {split: {k: scored(s) for k, s in own.items()} for split, own in raw.items()}


def _scores(item: Item, classify: Classify, data: SkeletonStreams) -> StreamScores:
    length, hop = round(WINDOW * data.rate_hz), max(round(HOP * data.rate_hz), 1)
    ends = range(hop, len(item.content) + 1, hop)
    padded = np.concatenate([np.repeat(item.content[:1], length, axis=0), item.content])
    windows = [padded[end : end + length] for end in ends]
    scores = [classify(part) for part in _parts(windows, 64)]
    return StreamScores(np.array(ends) / data.rate_hz, np.concatenate(scores))


def _features(joints: np.ndarray, data: SkeletonStreams) -> np.ndarray:
    """(T, J, C) → (STEPS, D): the centre joint about its mean, the others relative to it."""
    size = (chain_length(joints, data.scale_joints) if data.scale_joints else 0.0) or 1.0
    centre = joints[:, data.centre_joint].copy()
    placed = joints - centre[:, None]
    placed[:, data.centre_joint] = centre - centre.mean(axis=0)
    placed /= size
    return resample(placed, STEPS).reshape(STEPS, -1)


def _examples(
    index: Index, data: SkeletonStreams, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The gestures of the training streams, and windows that have at most a third of one."""
    background, length = index.class_names.index(NO_GESTURE), round(WINDOW * data.rate_hz)
    x, y = [], []
    for item in index.of("train"):
        inside = np.zeros(len(item.content) + 1)
        for event in item.events:
            first, last = round(event.start * data.rate_hz), round(event.end * data.rate_hz)
            x.append(_features(item.content[first:last], data))
            y.append(index.class_names.index(event.label))
            inside[first + 1 : last + 1] = 1
        covered = inside.cumsum()
        starts = rng.integers(0, max(len(item.content) - length, 1), BACKGROUND * len(item.events))
        for start in starts:
            if covered[min(start + length, len(item.content))] - covered[start] <= length / 3:
                x.append(_features(item.content[start : start + length], data))
                y.append(background)
    return np.stack(x), np.array(y)


def _of_features(classify: OfFeatures, data: SkeletonStreams) -> Classify:
    return lambda windows: classify(np.stack([_features(window, data) for window in windows]))


def network_for_clips(weights: Path | str, index: Index) -> Classify:
    """What it says against each gesture, as distances (N, K - 1); it knows no other class."""
    classifier = Classifier(weights)
    gestures = [name for name in index.class_names if name != NO_GESTURE]
    if sorted(gestures) != sorted(classifier.class_names):
        raise Gesture3dError(f"{weights}: its classes are not those of the streams")
    order = [classifier.class_names.index(name) for name in gestures]
    data = classifier.experiment.data

    def classify(windows: Sequence[np.ndarray]) -> np.ndarray:
        inputs = [torch.from_numpy(features(window, data)) for window in windows]
        return -classifier.scores(inputs).log_softmax(dim=1).numpy()[:, order]

    return classify


def logistic_regression(x: np.ndarray, y: np.ndarray, num_classes: int) -> OfFeatures:
    """Multinomial, of z-scores, with a squared penalty; by L-BFGS."""
    flat = torch.from_numpy(x.reshape(len(x), -1)).double()
    mean, std = flat.mean(0), flat.std(0) + 1e-6
    flat, labels = (flat - mean) / std, torch.from_numpy(y)
    weight = torch.zeros(num_classes, flat.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def scores(inputs: Tensor) -> Tensor:
        return inputs @ weight[:, 1:].T + weight[:, 0]

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(scores(flat), labels) + 1e-3 * weight[:, 1:].square().sum()
        value.backward()
        return value

    optimizer.step(loss)

    def classify(windows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            inputs = (torch.from_numpy(windows.reshape(len(windows), -1)).double() - mean) / std
            return scores(inputs).numpy()

    return classify


def nearest_by_dtw(
    x: np.ndarray, y: np.ndarray, num_classes: int, most_templates: int = 12
) -> OfFeatures:
    """Distances (N, num_classes - 1) to the nearest template of each gesture."""
    chosen = [np.flatnonzero(y == label)[:most_templates] for label in range(num_classes - 1)]
    if min(map(len, chosen)) == 0:
        raise Gesture3dError("a class has no gesture in the training streams to compare with")
    templates = np.concatenate([x[rows] for rows in chosen])
    firsts = np.cumsum([0, *map(len, chosen[:-1])])

    def nearest(windows: np.ndarray) -> np.ndarray:
        return np.minimum.reduceat(dtw(windows, templates), firsts, axis=1)

    return nearest


def dtw(windows: np.ndarray, templates: np.ndarray, band: float = 0.2) -> np.ndarray:
    """Distances (N, M) by dynamic time warping of (N, T, D) to (M, T, D): the least sum of
    Euclidean distances over paths that stay within ``band`` · T of the diagonal, by T."""
    (n, steps, _), m = windows.shape, len(templates)
    cost = torch.cdist(
        torch.from_numpy(windows.reshape(n * steps, -1)).float(),
        torch.from_numpy(templates.reshape(m * steps, -1)).float(),
    ).numpy()
    cost = cost.reshape(n, steps, m, steps).transpose(1, 3, 0, 2)  # (T, T, N, M)
    reach = max(int(np.ceil(band * steps)), 1)
    total = np.full((steps + 1, steps + 1, n, m), np.inf, np.float32)
    total[0, 0] = 0
    for i in range(steps):
        for j in range(max(i - reach, 0), min(i + reach + 1, steps)):
            before = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
            total[i + 1, j + 1] = cost[i, j] + before
    return total[steps, steps] / steps


def _parts(values: Sequence, size: int) -> Iterator[Sequence]:
    for first in range(0, len(values), size):
        yield values[first : first + size]
