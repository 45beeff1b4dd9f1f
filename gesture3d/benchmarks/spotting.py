"""What a causal network on streams has to beat: classifiers of single windows that slide along.

Both see the last `WINDOW` seconds, resampled to `STEPS` frames; their online decision is chosen on
the validation streams as that of networks is, its lag included. Multinomial logistic regression
learns the training streams' gestures, and "No gesture" from windows between them. The other one
compares with training gestures by dynamic time warping (Sakoe and Chiba 1978, band of a fifth), and
takes the nearest of each class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gesture3d.data.index import Index, Item
from gesture3d.data.skeleton.streams import SkeletonStreams
from gesture3d.data.skeleton.transforms import chain_length, resample
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.spotting import Spotting, measure
from gesture3d.events import NO_GESTURE
from gesture3d.inference.choosing import choose_decision
from gesture3d.inference.online import StreamScores, find_events
from gesture3d.inference.stream_predictions import events_of_streams

WINDOW = 2.0  # seconds
HOP = 0.1  # seconds from window to window
STEPS = 16
LAGS = (0.0, 0.25, 0.5, 0.75, 1.0)
BACKGROUND = 3  # windows of no gesture for each gesture

Classify = Callable[[np.ndarray], np.ndarray]  # (N, STEPS, D) → scores (N, K)


@dataclass(frozen=True)
class Baseline:
    """Attributes:
    name: what slides.
    validation, test: its events measured on the two splits.
    """

    name: str
    validation: Spotting
    test: Spotting


def baselines(index: Index, data: SkeletonStreams, measure_by: str, seed: int) -> list[Baseline]:
    """Both on the test streams.

    Args:
        index: with train, validation and test streams.
        measure_by: what the decision makes greatest, one of `choosing.MEASURES`.

    Raises:
        Gesture3dError: a split is missing.
    """
    for split in ("train", "validation", "test"):
        if not index.of(split):
            raise Gesture3dError(f"{data.root}: no {split} streams to compare on")
    rng = np.random.default_rng(seed)
    x, y = _examples(index, data, rng)
    classifiers = {
        "logistic regression": logistic_regression(x, y, len(index.class_names)),
        "nearest neighbour, DTW": nearest_by_dtw(x, y, len(index.class_names)),
    }
    return [_slide(name, how, index, data, measure_by) for name, how in classifiers.items()]


def _slide(
    name: str, classify: Classify, index: Index, data: SkeletonStreams, measure_by: str
) -> Baseline:
    scores = {
        split: {item.key: _scores(item, classify, data) for item in index.of(split)}
        for split in ("validation", "test")
    }
    truth = {split: events_of_streams(index.of(split)) for split in scores}
    names = index.class_names
    decision = choose_decision(
        scores["validation"],
        truth["validation"],
        names,
        [name for name in names if name != NO_GESTURE],
        data="validation streams",
        measure=measure_by,
        lags=LAGS,
    )

    def measured(split: str) -> Spotting:
        streams: Mapping[str, StreamScores] = scores[split]
        found = {key: find_events(stream, decision, names) for key, stream in streams.items()}
        lengths = {key: float(stream.seconds[-1]) for key, stream in streams.items()}
        return measure(truth[split], found, lengths)

    return Baseline(name, measured("validation"), measured("test"))


def _scores(item: Item, classify: Classify, data: SkeletonStreams) -> StreamScores:
    length, hop = round(WINDOW * data.rate_hz), max(round(HOP * data.rate_hz), 1)
    ends = range(hop, len(item.content) + 1, hop)
    padded = np.concatenate([np.repeat(item.content[:1], length, axis=0), item.content])
    windows = [_features(padded[end : end + length], data) for end in ends]
    scores = [classify(np.stack(part)) for part in _parts(windows, 64)]
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


def logistic_regression(x: np.ndarray, y: np.ndarray, num_classes: int) -> Classify:
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
) -> Classify:
    """Scores fall with the distance to the nearest template of a class; the last class has none,
    and the distance that separates its examples from gestures best."""
    background, templates, labels = num_classes - 1, [], []
    for label in range(background):
        own = x[y == label][:most_templates]
        templates += list(own)
        labels += [label] * len(own)
    stacked, labels = np.stack(templates), np.array(labels)
    if len(set(labels)) < background:
        raise Gesture3dError("a class has no gesture in the training streams to compare with")

    def nearest(windows: np.ndarray) -> np.ndarray:
        distances = dtw(windows, stacked)
        return np.stack([distances[:, labels == k].min(1) for k in range(background)], axis=1)

    held = np.concatenate([x[(y == k)][most_templates : most_templates + 6] for k in set(labels)])
    gestures, others = (nearest(part).min(1) for part in (held, x[y == background][:100]))
    border = (np.median(gestures) + np.median(others)) / 2
    width = max(abs(np.median(others) - np.median(gestures)) / 10, 1e-6)

    def classify(windows: np.ndarray) -> np.ndarray:
        found = nearest(windows)
        return np.concatenate([-found, np.full((len(found), 1), -border)], axis=1) / width

    return classify


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
