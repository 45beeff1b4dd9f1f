"""Evaluation of a checkpoint on one split of a data set, with nothing but the file itself."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from gesture3d import checkpoint
from gesture3d.config import Experiment, load_data, with_overrides
from gesture3d.data import EVERY, build_datasets, build_tested, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.data.samples import Samples
from gesture3d.data.spec import InputSpec
from gesture3d.distributed import Processes, processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import calibrated
from gesture3d.evaluation.metrics import Metrics, compute_metrics
from gesture3d.evaluation.predict import predict
from gesture3d.evaluation.predictions import SplitPredictions, check_finite
from gesture3d.text import one_line

# What an evaluation can change. The network is the checkpoint's, and nothing is trained.
_SETTINGS = "data.*, train.device, train.eval_batch_size and train.seed"


def evaluate_checkpoint(
    weights: Path | str,
    split: str = "test",
    overrides: list[str] | None = None,
    data: str | None = None,
    progress: bool = True,
    *,
    raw: bool = False,
) -> tuple[SplitPredictions, Metrics | None]:
    """Predictions and metrics on every sample of a split, which is rebuilt as it was in training.

    Under ``torchrun`` the processes share the work, and each returns the whole result.

    Args:
        split: train, validation or test; of ``data`` also all of it: all. Never augmented.
        overrides: changed settings, e.g. ``data.root=...`` where the data has moved.
        data: another data set, by a recipe as for training, with the same classes.
        raw: the network's own scores, whatever the checkpoint's temperature.

    Returns:
        The metrics are None where no sample of the split has a label.

    Raises:
        Gesture3dError: the data set has no such split, or it is not the one of the training;
            another data set has other classes.
    """
    with open_split(weights, split, overrides, data, progress) as opened:
        opened = replace(opened, calibration=None) if raw else opened
        predictions = opened.predict(opened.samples, progress)
    has_labels = (predictions.labels >= 0).any()
    return predictions, compute_metrics(predictions) if has_labels else None


@dataclass(frozen=True)
class OpenedSplit:
    """A checkpoint's network, and the samples of a split of a data set that fits it."""

    weights: Path | str
    split: str
    experiment: Experiment
    class_names: tuple[str, ...]
    calibration: checkpoint.Calibration | None
    model: nn.Module
    samples: Samples
    here: Processes

    def predict(self, samples: Samples, progress: bool) -> SplitPredictions:
        """The scores of samples of the split.

        Raises:
            Gesture3dError: scores that are not finite.
        """
        batches = _batches(samples, self.experiment, self.here, progress)
        found = predict(self.model, batches, self.here.device, self.here)
        predictions = SplitPredictions(
            keys=found.keys,
            scores=found.scores,
            labels=found.labels,
            class_names=self.class_names,
            data=self.experiment.data.title,
            split=self.split,
        )
        check_finite(predictions, self.weights)
        return calibrated(predictions, self.calibration)


@contextlib.contextmanager
def open_split(
    weights: Path | str,
    split: str,
    overrides: list[str] | None = None,
    data: str | None = None,
    progress: bool = True,
) -> Iterator[OpenedSplit]:
    """What `evaluate_checkpoint` predicts from, and raises."""
    model, description = checkpoint.load_model(weights)
    experiment = evaluated_experiment(weights, overrides, data)
    device = experiment.train.device
    with processes("auto" if device == "cuda" else device) as here:
        show = progress and here.is_main
        if data:
            dataset, spec = here.main_first(
                lambda: build_tested(experiment.data, split, description.class_names, show)
            )
        else:
            dataset, spec = here.main_first(
                lambda: _own_split(weights, description, experiment, split, show)
            )
        description.input_spec(experiment.data).check_same(spec, data or weights)
        names, calibration = tuple(description.class_names), description.calibration
        model.to(here.device)
        yield OpenedSplit(weights, split, experiment, names, calibration, model, dataset, here)


def _own_split(
    weights: Path | str,
    description: checkpoint.Description,
    experiment: Experiment,
    split: str,
    progress: bool,
) -> tuple[Samples, InputSpec]:
    """The split of the data that the network was trained on, if it still is what it was."""
    datasets = build_datasets(experiment.data, experiment.train.seed, progress)
    dataset = getattr(datasets, split, None) if split != EVERY else None
    if dataset is None:
        hint = "; all samples of another set: --data" if split == EVERY else ""
        raise Gesture3dError(f"{weights}: its data set has no {split} split{hint}")
    _check_same_classes(description.class_names, datasets.class_names, weights)
    if datasets.fingerprint.get(split) != description.data_fingerprint.get(split):
        raise Gesture3dError(
            f"{weights}: the {split} split is not the one of its training (other samples or "
            "labels); check data.root and the split's settings, or name the set with --data"
        )
    dataset.training = False
    return dataset, datasets.spec


def evaluated_experiment(
    weights: Path | str, overrides: list[str] | None = None, data: str | None = None
) -> Experiment:
    """The experiment of the checkpoint with what differs in this evaluation.

    With ``data``, the samples are those of that recipe, presented to the network as in training.

    Raises:
        Gesture3dError: a setting that an evaluation does not use; data whose place is not there.
    """
    _, description = checkpoint.load(weights)
    experiment = description.validated_experiment(weights)
    for override in overrides or []:
        _check_is_used(override, experiment.data.training_settings)
    if data:
        other = load_data(data)
        shared = other.input_settings
        kept = {k: v for k, v in experiment.data.model_dump().items() if k in shared}
        experiment = experiment.model_copy(update={"data": other.model_copy(update=kept)})
    changed = with_overrides(experiment, overrides or [])
    if not data and changed.data.root == experiment.data.root:
        check_root(experiment, weights, "name its place: --set data.root=…")
    return changed


def _check_is_used(override: str, training_only: tuple[str, ...]) -> None:
    key = override.partition("=")[0].strip()
    section, _, name = key.partition(".")
    used = (
        name in ("device", "eval_batch_size", "seed")
        if section == "train"
        else (section == "data" and name and name.partition(".")[0] not in training_only)
    )
    if not used:
        raise Gesture3dError(
            f"--set {one_line(override, 100)}: an evaluation does not use it, so nothing would "
            f"change; it uses {_SETTINGS}, but for {', '.join(training_only)}"
        )


def check_root(experiment: Experiment, source: Path | str, advice: str) -> None:
    """Raise where the data of a file that may be anyone's is to lie where nothing is.

    Some sets would be generated there. Where the set lies by default, that is what it is for.
    """
    root = experiment.data.root
    if root != type(experiment.data).model_fields["root"].default and not root.exists():
        raise Gesture3dError(f"{source}: its data was in {root}, which is not here; {advice}")


def changed_inputs(
    weights: Path | str, overrides: list[str] | None = None, data: str | None = None
) -> list[str]:
    """Settings, ``name=value``, by which the network sees samples otherwise than by its own."""
    changed = evaluated_experiment(weights, overrides, data).data
    moved = [override for override in overrides or [] if override.startswith("data.root=")]
    now, own = changed.model_dump(), evaluated_experiment(weights, moved, data).data.model_dump()
    return [f"{k}={v}" for k, v in now.items() if k in changed.input_settings and v != own.get(k)]


def _check_same_classes(ours: Sequence[str], theirs: Sequence[str], source: Path | str) -> None:
    ours, theirs = tuple(ours), tuple(theirs)
    if ours != theirs:
        parts = {
            "not in the training": [name for name in theirs if name not in ours],
            "only in the training": [name for name in ours if name not in theirs],
        }
        shown = [f"{where}: {_some(names)}" for where, names in parts.items() if names]
        raise Gesture3dError(
            f"{source}: its classes are not those of the training; "
            + ("; ".join(shown) or "they are the same in another order")
        )


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))


def _batches(dataset: Samples, experiment: Experiment, here: Processes, progress: bool) -> Any:
    """Batches of this process's share, behind a bar on a terminal."""
    sampler = EpochSampler(
        num_samples=len(dataset),
        batch_size=experiment.train.eval_batch_size,
        seed=0,
        shuffle=False,
        rank=here.rank,
        world_size=here.world_size,
    )
    loader = make_loader(
        dataset,
        sampler,
        experiment.data.num_workers,
        pin_memory=here.device.type == "cuda",
    )
    show = progress and here.is_main
    return tqdm(loader, unit="batch", leave=False, disable=None if show else True)
