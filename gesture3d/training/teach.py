"""Gestures from a few examples: nothing is trained, clips are compared with those that were given.

What to compare (`WAYS`) is taken by leaving out each given clip once. How far a clip may be from
all of them, and still be one of the gestures, comes from the distances of clips of one gesture, and
from those of generated other gestures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gesture3d import checkpoint
from gesture3d.checkpoint import Calibration, Description
from gesture3d.config import validate_experiment
from gesture3d.config.models import TemplatesConfig
from gesture3d.data.index import Index
from gesture3d.data.skeleton.sets.hand_folder import HandFolderData
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import fit_temperature
from gesture3d.hands.features import COLUMNS, NUM_FEATURES, as_hands, hand_features
from gesture3d.models.templates import Templates, warped_distances

# What is compared, and how much each part counts; the first where nothing speaks for another.
WAYS = {
    "where the hand goes": {"course": 1.0, "shape": 0.3},
    "where it goes and its shape": {"course": 0.3, "shape": 1.0},
    "the hand's shape": {"course": 0.1, "shape": 1.0, "other_shape": 0.1},
}
SHAPES_DIFFER = 0.3  # distance of shapes that are not one: the same shown twice are at 0.1 to 0.3
USUAL = (
    0.36  # distance that 90 % of other clips of a gesture stay below, where nothing else is known
)
GENERIC = 4  # generated performances of each of 27 gestures
KEPT = 0.9  # of known clips, by the threshold
BAND = 4
FEW_FOR_MEANS = 3  # clips of each gesture
FEW = 10  # left-out clips, from which on probabilities are fitted to them
LEAST_SEEN = 0.3  # share of a clip's frames with a hand, below which it is doubtful


@dataclass(frozen=True)
class Clips:
    """Given clips: features (N, T, D), labels (N,), keys, names of the classes."""

    features: Tensor
    labels: np.ndarray
    keys: list[str]
    class_names: tuple[str, ...]

    def of(self, rows: np.ndarray) -> Clips:
        """Only these."""
        return replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            keys=[self.keys[row] for row in rows],
        )


@dataclass(frozen=True)
class Taught:
    """A recogniser, and what there is to say of it.

    Attributes:
        way: of `WAYS`.
        recognised: how many clips the others recognise, of ``left_out``, that are left out once;
            0 of 0 where every gesture has one clip only.
        threshold: distance above which a clip is none of these.
        alike: pairs of names that are hardly told apart.
    """

    model: Templates
    way: str
    recognised: int
    left_out: int
    threshold: float
    alike: list[tuple[str, str]]
    calibration: Calibration


def clips_of(index: Index, num_frames: int) -> tuple[Clips, dict[str, float]]:
    """The training clips of an index of joints that show a hand, and the share of the frames of
    each that does.

    Raises:
        Gesture3dError: no clip of some class shows a hand; there are not two classes.
    """
    shares = {item.key: float(item.content.any(axis=(1, 2)).mean()) for item in index.of("train")}
    good = [i for i in index.of("train") if round(shares[i.key] * len(i.content)) >= 2]
    names = index.class_names
    if len(names) < 2:
        raise Gesture3dError(f"only one gesture, {names[0]!r}: record another one to tell it from")
    for label, name in enumerate(names):
        if label not in {item.label for item in good}:
            raise Gesture3dError(
                f"no clip of {name!r} shows a hand in two frames or more: record it again, the "
                "hand in the picture, lit from the front"
            )
    features = np.stack([hand_features(as_hands(i.content), num_frames) for i in good])
    labels = np.array([item.label for item in good])
    return Clips(torch.from_numpy(features), labels, [i.key for i in good], names), shares


def teach(clips: Clips) -> Taught:
    """The recogniser of these clips."""
    way, by_means = choose_way(clips)
    parts = WAYS[way]
    distances = left_out_distances(clips, parts, by_means)
    same, other = _own_and_other(distances, clips.labels)
    counted = np.isfinite(same)
    kept = class_means(clips) if by_means else clips
    count, size, _ = kept.features.shape
    model = Templates(NUM_FEATURES, len(clips.class_names), count, size, BAND)
    model.templates.copy_(kept.features)
    model.weights.copy_(weights_of(parts))
    model.nearest.classes.copy_(torch.from_numpy(kept.labels))
    limit = find_threshold(kept, same[counted], parts)
    return Taught(
        model.eval(),
        f"{way}, {'the mean of each gesture' if by_means else 'clip by clip'}",
        int((same < other)[counted].sum()),
        int(counted.sum()),
        limit,
        _alike(clips, distances, limit),
        _calibration(model, distances, clips.labels, limit),
    )


def choose_way(clips: Clips) -> tuple[str, bool]:
    """Of `WAYS` the one by which clips of one gesture are nearest to each other, measured by how
    far those of others are (medians), clip by clip; another one, or comparing with the mean of each
    gesture's clips (where all have `FEW_FOR_MEANS`), if it recognises two left-out clips more.
    Where most gestures have one clip: by shapes where these differ, else by where the hand goes."""
    closeness, rates, apart = {}, {}, {}
    enough = np.bincount(clips.labels).min() >= FEW_FOR_MEANS
    for way, parts in WAYS.items():
        for by_means in (False, True) if enough else (False,):
            distances = left_out_distances(clips, parts, by_means)
            same, other = _own_and_other(distances, clips.labels)
            counted = np.isfinite(same)
            rates[way, by_means] = int((same < other)[counted].sum())
            if not by_means:
                closeness[way, False] = _median((other / np.maximum(same, 1e-6))[counted])
                apart[way] = _median(other)
    course, shape = next(iter(WAYS)), list(WAYS)[-1]
    if 2 * counted.sum() < len(clips.labels):
        differ = apart[shape] > max(SHAPES_DIFFER, 0.55 * apart[course])
        return (shape if differ else course), False
    best, most = (max(found, key=found.get) for found in (closeness, rates))
    return most if rates[most] > rates[best] + 1 else best


def left_out_distances(clips: Clips, parts: dict[str, float], by_means: bool) -> np.ndarray:
    """(N, K): of each clip, as if it had not been given, to every class; infinite to its own where
    it is the only one.

    Args:
        by_means: to the mean of a class, else to its nearest clip.
    """
    classes = range(len(clips.class_names))
    own = np.eye(len(classes), dtype=bool)[clips.labels]
    if not by_means:
        between = _distances(clips.features, clips.features, parts)
        np.fill_diagonal(between, np.inf)
        return np.stack([between[:, clips.labels == k].min(axis=1) for k in classes], axis=1)
    means, counts = class_means(clips).features, np.bincount(clips.labels)
    found = _distances(clips.features, means, parts)
    count = torch.from_numpy(counts[clips.labels])[:, None, None]
    others = (means[clips.labels] * count - clips.features) / (count - 1)
    pairs = zip(clips.features, others, strict=True)
    found[own] = [_distances(x[None], y[None], parts).item() for x, y in pairs]
    return found


def class_means(clips: Clips) -> Clips:
    """One template a class: the mean of its clips."""
    classes = range(len(clips.class_names))
    means = torch.stack([clips.features[clips.labels == k].mean(dim=0) for k in classes])
    return Clips(means, np.array(classes), list(clips.class_names), clips.class_names)


def find_threshold(templates: Clips, same: np.ndarray, parts: dict[str, float]) -> float:
    """The distance to the nearest template from which on a clip is none of these.

    Args:
        same: distances of left-out clips to their own class.
    """
    others = np.stack(list(_other_gestures(templates.features.shape[1])))
    far = _distances(torch.from_numpy(others), templates.features, parts).min(axis=1)
    usual = np.sqrt(USUAL * 1.7 * np.median(same)) if len(same) else USUAL
    return float(min(usual, np.quantile(far, 0.25)))


def weights_of(parts: dict[str, float]) -> Tensor:
    """(D,): how much each feature counts."""
    weights = torch.zeros(NUM_FEATURES)
    for name, weight in parts.items():
        weights[getattr(COLUMNS, name)] = weight
    return weights


def save(path: Path, taught: Taught, clips: Clips, data: HandFolderData, prints: dict) -> None:
    """A checkpoint like any other."""
    config = TemplatesConfig(
        name="templates",
        num_templates=len(taught.model.templates),
        num_frames=clips.features.shape[1],
        band=BAND,
        sharpness=taught.model.sharpness,
    )
    tree = {"model": config.model_dump(), "data": data.model_dump(mode="json")}
    experiment = validate_experiment(tree, str(path))
    metrics = {"left_out": taught.left_out, "recognised": taught.recognised, "way": taught.way}
    description = Description(
        experiment.model_dump(mode="json"),
        list(clips.class_names),
        prints,
        metrics,
        num_features=NUM_FEATURES,
        calibration=taught.calibration,
    )
    checkpoint.save(path, dict(taught.model.state_dict()), description)


def _distances(ours: Tensor, theirs: Tensor, parts: dict[str, float]) -> np.ndarray:
    weights = weights_of(parts)
    used = weights > 0
    scale = weights[used].sqrt()
    rows, other = (ours[..., used] * scale).split(16), theirs[..., used] * scale
    return torch.cat([warped_distances(part, other, BAND) for part in rows]).double().numpy()


def _own_and_other(distances: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) → of each clip to its own class, and to the nearest other one."""
    own = np.eye(distances.shape[1], dtype=bool)[labels]
    return distances[own], np.where(own, np.inf, distances).min(axis=1)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _other_gestures(num_frames: int) -> Iterator[np.ndarray]:
    from gesture3d.synthetic.tracks import performances

    for one in performances("other", GENERIC, seed=0):
        features = hand_features(one.joints, num_frames)
        if features.any():
            yield features


def _alike(clips: Clips, distances: np.ndarray, limit: float) -> list[tuple[str, str]]:
    """Pairs of classes, the nearest first, of which a left-out clip is taken for the other; the
    only clip of a class must be half the limit from the others."""
    same, _ = _own_and_other(distances, clips.labels)
    own = np.where(np.isfinite(same), same, limit / 2)
    pairs: dict[tuple[int, int], float] = {}
    for row, label in enumerate(clips.labels):
        for other in np.flatnonzero(distances[row] < own[row]):
            if other != label:
                pair = min(label, other), max(label, other)
                pairs[pair] = min(distances[row, other], pairs.get(pair, np.inf))
    names = clips.class_names
    return [(names[a], names[b]) for a, b in sorted(pairs, key=pairs.get)]


def _calibration(
    model: Templates, distances: np.ndarray, labels: np.ndarray, limit: float
) -> Calibration:
    """Probabilities from the left-out clips; the threshold keeps 90 % of known clips."""
    scores = -model.sharpness * distances
    counted = np.isfinite(distances).all(axis=1)
    enough = counted.sum() >= FEW
    temperature = fit_temperature(scores[counted], labels[counted]) if enough else 1.0
    steps = np.linspace(0.0, 1.0, 101)
    # Highest scores: 90 % at the limit or nearer, the last 10 % as far again as half the limit.
    farness = np.interp(steps, [0.0, 1.0 - KEPT, 1.0], [1.5 * limit, limit, 0.0])
    quantiles = -model.sharpness / temperature * farness
    return Calibration(temperature, quantiles.tolist(), len(labels), "given clips, each left out")
