"""Evaluation of a checkpoint on one split of its data set, with nothing but the file itself."""

from pathlib import Path

import torch

from gesture3d import checkpoint
from gesture3d.config import with_overrides
from gesture3d.data import build_datasets, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.metrics import Metrics, compute_metrics
from gesture3d.evaluation.predict import Predictions, predict


def evaluate_checkpoint(
    weights: Path | str,
    split: str = "test",
    overrides: list[str] | None = None,
    progress: bool = True,
) -> tuple[Predictions, Metrics]:
    """Predictions and metrics on every sample of a split, which is rebuilt as it was in training.

    Args:
        split: train, validation or test; never augmented.
        overrides: changed settings, e.g. ``data.root=...`` where the data has moved.

    Raises:
        Gesture3dError: the data set has no such split, or it is not the one of the training.
    """
    model, description = checkpoint.load_model(weights)
    experiment = with_overrides(description.validated_experiment(weights), overrides or [])
    datasets = build_datasets(experiment.data, experiment.train.seed, progress=progress)
    dataset = getattr(datasets, split)
    if dataset is None:
        raise Gesture3dError(f"{weights}: its data set has no {split} split")
    if datasets.fingerprint.get(split) != description.data_fingerprint.get(split):
        raise Gesture3dError(
            f"{weights}: the {split} split is not the one of its training (other samples or "
            "labels); check data.root and the split's settings"
        )
    dataset.training = False
    size = experiment.train.eval_batch_size
    sampler = EpochSampler(len(dataset), size, seed=0, shuffle=False)
    loader = make_loader(dataset, sampler, experiment.data.num_workers)
    predictions = predict(model, loader, torch.device("cpu"))
    return predictions, compute_metrics(predictions)
