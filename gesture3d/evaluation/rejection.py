"""How well a network tells samples of its classes from those of none.

The known are a split of its data set, the unknown files of any kind or what a setting of the set
brings in. Beside the scores, the distance to what it was trained on is measured: Mahalanobis', of
the inputs of its head, to the nearest class mean with the covariance that the classes share (Lee
et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gesture3d.checkpoint import Calibration, load_model
from gesture3d.config import Experiment, with_overrides
from gesture3d.data import Datasets, build_datasets
from gesture3d.data.batch import Sample, collate
from gesture3d.data.samples import Samples
from gesture3d.data.spec import InputSpec
from gesture3d.data.walk import Walk, find_files
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import (
    KEPT,
    auroc,
    highest_probability,
    highest_score,
    negative_energy,
    threshold,
)
from gesture3d.evaluation.evaluate import evaluated_experiment
from gesture3d.evaluation.predict import score
from gesture3d.machine import choose_device
from gesture3d.models.network import Network

MOST_TRAINING = 3000  # samples that class means are taken of
SHRINKAGE = 0.01  # of the mean variance, added to each


@dataclass(frozen=True)
class Seen:
    """What a network makes of N samples: scores (N, K), the inputs of its head (N, F), labels."""

    scores: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Rejection:
    """Known samples against unknown ones.

    Attributes:
        num_known, num_unknown: samples; those of files may be windows.
        scores: by name, ``auroc`` and ``rejected``, the share of the unknown below the threshold
            that keeps 95 % of the known.
        kept, rejected: shares (0..1) of the known and the unknown by the checkpoint's own
            threshold; None where it has none.
    """

    num_known: int
    num_unknown: int
    scores: dict[str, dict[str, float]]
    kept: float | None
    rejected: float | None


def measure_rejection(
    weights: Path | str,
    unknown: Sequence[str],
    split: str = "validation",
    overrides: list[str] | None = None,
) -> Rejection:
    """Known samples of a split of the checkpoint's data set against unknown ones.

    Args:
        unknown: paths of files and folders; or settings of the data set, ``data.classes=null``,
            whose samples of this split are unknown where the network does not have their class.
        overrides: changed settings of the known, as of an evaluation.

    Raises:
        Gesture3dError: missing or unreadable data; no unknown sample.
    """
    model, description = load_model(weights)
    experiment = evaluated_experiment(weights, overrides)
    model.to(choose_device(experiment.train.device))
    spec = description.input_spec(experiment.data)
    datasets = _datasets(experiment, spec, weights)
    known = _split(datasets, split, weights)
    if datasets.class_names != tuple(description.class_names):
        raise Gesture3dError(f"{weights}: the set's classes are not those of its training")
    settings = [one for one in unknown if one.partition("=")[0].startswith("data.")]
    paths = [one for one in unknown if one not in settings]
    parts = [_of_files(paths, experiment, spec)] if paths else []
    larger = with_overrides(experiment, settings)
    size = experiment.train.eval_batch_size
    every = -(-len(datasets.train) // MOST_TRAINING)
    datasets.train.training = False
    trained = look(model, (datasets.train[i] for i in range(0, len(datasets.train), every)), size)
    ours = look(model, (known[i] for i in range(len(known))), size)
    if settings:  # last: decoded once, the larger set takes the place of the smaller one
        other = _split(_datasets(larger, spec, "--unknown"), split, "--unknown")
        parts.append(_of_other_classes(other, description.class_names))
    theirs = look(model, (sample for part in parts for sample in part), size)
    return compare(ours, theirs, trained, description.calibration)


def compare(
    known: Seen, unknown: Seen, trained: Seen, calibration: Calibration | None
) -> Rejection:
    """Every score's figures. ``trained`` are samples with labels, that class means are taken of."""
    far = distance(trained)
    by_name = {
        "highest probability": (lambda seen: highest_probability(seen.scores)),
        "highest score": (lambda seen: highest_score(seen.scores)),
        "energy": (lambda seen: negative_energy(seen.scores)),
        "distance to class means": (lambda seen: -far(seen.features)),
    }
    scores = {}
    for name, value in by_name.items():
        ours, theirs = value(known), value(unknown)
        rejected = float((theirs < threshold(ours)).mean())
        scores[name] = {"auroc": auroc(ours, theirs), "rejected": rejected}
    kept = rejected = None
    if calibration:
        level, temperature = calibration.threshold(KEPT), calibration.temperature
        kept = float((highest_score(known.scores / temperature) >= level).mean())
        rejected = float((highest_score(unknown.scores / temperature) < level).mean())
    return Rejection(len(known.scores), len(unknown.scores), scores, kept, rejected)


def distance(trained: Seen) -> Any:
    """(N, F) → (N,): Mahalanobis' to the nearest mean of a class, squared."""
    labels = np.unique(trained.labels[trained.labels >= 0])
    rows = [trained.features[trained.labels == label] for label in labels]
    means = np.stack([row.mean(axis=0) for row in rows])
    residuals = np.concatenate([row - mean for row, mean in zip(rows, means, strict=True)])
    covariance = residuals.T @ residuals / len(residuals)
    size = len(covariance)
    variance = max(np.trace(covariance) / size, 1e-12)
    covariance += SHRINKAGE * variance * np.eye(size)
    precision = np.linalg.inv(covariance)

    def far(features: np.ndarray) -> np.ndarray:
        each = [features - mean for mean in means]
        return np.min([np.einsum("nf,fg,ng->n", d, precision, d, optimize=True) for d in each], 0)

    return far


@torch.inference_mode()
def look(model: Network, samples: Iterable[Sample], batch_size: int) -> Seen:
    """Of several views: their mean features.

    Raises:
        Gesture3dError: there is no sample.
    """
    device = next(model.parameters()).device
    features: list[torch.Tensor] = []
    scores, labels, remaining = [], [], iter(samples)
    hook = model.get_submodule(model.head).register_forward_pre_hook(
        lambda _, inputs: features.append(inputs[0])
    )
    try:
        while chunk := [one for _, one in zip(range(batch_size), remaining, strict=False)]:
            batch = collate(chunk).to(device)
            scores.append(score(model, batch.inputs, batch.lengths).cpu())
            labels.append(batch.labels.cpu())
            features[-1] = features[-1].unflatten(0, (len(batch.keys), -1)).mean(1).cpu()
    finally:
        hook.remove()
    return Seen(
        torch.cat(scores).double().numpy(),
        torch.cat(features).double().numpy(),
        torch.cat(labels).numpy(),
    )


def rows(found: Rejection) -> list[list[str]]:
    """A table to print: a row a score, the titles first."""
    titles = ["", "AUROC", f"rejected at {KEPT:.0%} kept"]
    table = [[n, f"{s['auroc']:.3f}", f"{s['rejected']:.1%}"] for n, s in found.scores.items()]
    return [titles, *table]


def _datasets(experiment: Experiment, spec: InputSpec, where: Path | str) -> Datasets:
    datasets = build_datasets(experiment.data, experiment.train.seed, progress=False)
    spec.check_same(datasets.spec, where)
    return datasets


def _split(datasets: Datasets, split: str, where: Path | str) -> Samples:
    found = getattr(datasets, split)
    if found is None:
        raise Gesture3dError(f"{where}: the data set has no {split} split")
    found.training = False
    return found


def _of_files(paths: Sequence[str], experiment: Experiment, spec: InputSpec) -> Iterator[Sample]:
    data, walk = experiment.data, Walk()
    files = [f for path in paths for f in find_files(path, data.suffixes, walk, data.is_input)]
    return (
        Sample(str(file), inputs, -1) for file in files for inputs in data.cut(file, spec).inputs
    )


def _of_other_classes(samples: Samples, known: Sequence[str]) -> list[Sample]:
    names = samples.class_names
    chosen = [i for i, label in enumerate(samples.labels) if names[label] not in known]
    if not chosen:
        raise Gesture3dError(
            "--unknown: with these settings the data set has no samples of classes that the "
            "network does not know; data.classes=null brings in those that training left out"
        )
    return [samples[i] for i in chosen]
