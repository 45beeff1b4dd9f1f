"""Evaluation of a checkpoint on one split of a data set, with nothing but the file itself."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from gesture3d import checkpoint
from gesture3d.config import DataConfig, Experiment, VideoData, load_data, with_overrides
from gesture3d.data import Datasets, build_datasets, make_loader
from gesture3d.data.batch import EpochSampler
from gesture3d.distributed import Processes, processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.metrics import Metrics, compute_metrics
from gesture3d.evaluation.predict import predict
from gesture3d.evaluation.predictions import SplitPredictions, check_finite
from gesture3d.text import one_line

# How samples are presented to a network: on another data set as in training.
INPUT_SETTINGS = frozenset(
    (
        *("num_frames", "size", "channels", "sampling", "frame_stride", "cache_size"),
        *("eval_clips", "eval_crops"),
        *("centre", "centre_joint", "scale_joints", "differences"),
        *("rate_hz", "median_steps", "lowpass_hz", "gravity_hz", "window", "step", "resample"),
    )
)

# What an evaluation can change. The network is the checkpoint's, and nothing is trained.
_SETTINGS = "data.*, train.device, train.eval_batch_size and train.seed"
_TRAINING_ONLY = ("augmentation", "balance", "temporal_jitter", "bucket_by_length", "standardise")


def evaluate_checkpoint(
    weights: Path | str,
    split: str = "test",
    overrides: list[str] | None = None,
    data: str | None = None,
    progress: bool = True,
) -> tuple[SplitPredictions, Metrics | None]:
    """Predictions and metrics on every sample of a split, which is rebuilt as it was in training.

    Under ``torchrun`` the processes share the work, and each returns the whole result.

    Args:
        split: train, validation or test; never augmented.
        overrides: changed settings, e.g. ``data.root=...`` where the data has moved.
        data: another data set, by a recipe as for training, with the same classes.

    Returns:
        The metrics are None where no sample of the split has a label.

    Raises:
        Gesture3dError: the data set has no such split, or it is not the one of the training;
            another data set has other classes.
    """
    model, description = checkpoint.load_model(weights)
    experiment = evaluated_experiment(weights, overrides, data)
    device = experiment.train.device
    with processes("auto" if device == "cuda" else device) as here:
        datasets = here.main_first(
            lambda: build_datasets(
                experiment.data, experiment.train.seed, progress=progress and here.is_main
            )
        )
        dataset = getattr(datasets, split)
        if dataset is None:
            raise Gesture3dError(f"{data or weights}: its data set has no {split} split")
        _check_same_kind(description, datasets, data or weights)
        if not data and datasets.fingerprint.get(split) != description.data_fingerprint.get(split):
            raise Gesture3dError(
                f"{weights}: the {split} split is not the one of its training (other samples or "
                "labels); check data.root and the split's settings, or name the set with --data"
            )
        dataset.training = False
        batches = _batches(dataset, experiment, here, progress)
        found = predict(model.to(here.device), batches, here.device, here)
    predictions = SplitPredictions(
        keys=found.keys,
        scores=found.scores,
        labels=found.labels,
        class_names=tuple(description.class_names),
        data=data_name(experiment.data),
        split=split,
    )
    check_finite(predictions, weights)
    has_labels = (predictions.labels >= 0).any()
    return predictions, compute_metrics(predictions) if has_labels else None


def evaluated_experiment(
    weights: Path | str, overrides: list[str] | None = None, data: str | None = None
) -> Experiment:
    """The experiment of the checkpoint with what differs in this evaluation.

    With ``data``, the samples are those of that recipe, presented to the network as in training.

    Raises:
        Gesture3dError: a setting that an evaluation does not use; data whose place is not there.
    """
    for override in overrides or []:
        _check_is_used(override)
    _, description = checkpoint.load(weights)
    experiment = description.validated_experiment(weights)
    if data:
        other = load_data(data)
        shared = INPUT_SETTINGS & type(other).model_fields.keys()
        kept = {k: v for k, v in experiment.data.model_dump().items() if k in shared}
        experiment = experiment.model_copy(update={"data": other.model_copy(update=kept)})
    changed = with_overrides(experiment, overrides or [])
    if not data and changed.data.root == experiment.data.root:
        check_root(experiment, weights, "name its place: --set data.root=…")
    return changed


def _check_is_used(override: str) -> None:
    key = override.partition("=")[0].strip()
    section, _, name = key.partition(".")
    used = (
        name in ("device", "eval_batch_size", "seed")
        if section == "train"
        else (section == "data" and name and name.partition(".")[0] not in _TRAINING_ONLY)
    )
    if not used:
        raise Gesture3dError(
            f"--set {one_line(override, 100)}: an evaluation does not use it, so nothing would "
            f"change; it uses {_SETTINGS}, but for {', '.join(_TRAINING_ONLY)}"
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
    now, own = (evaluated_experiment(weights, o, data).data.model_dump() for o in (overrides, None))
    return [f"{k}={v}" for k, v in now.items() if k in INPUT_SETTINGS and v != own.get(k)]


def data_name(config: DataConfig) -> str:
    """The data set's name and, of clips, the modality: ``synthetic_rgb``, ``utd_mhad_depth``."""
    if not isinstance(config, VideoData) or config.name.endswith(config.modality):
        return config.name
    return f"{config.name}_{config.modality}"


def _check_same_kind(
    description: checkpoint.Description, datasets: Datasets, source: Path | str
) -> None:
    """Refuse other classes, and sequences of other features."""
    ours, theirs = tuple(description.class_names), datasets.class_names
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
    names = description.channel_names, datasets.channel_names
    if None not in names and list(names[0]) != list(names[1]):
        raise Gesture3dError(
            f"{source}: channels {', '.join(names[1])}; the network was trained on "
            f"{', '.join(names[0])}"
        )
    if datasets.num_features != description.num_features:
        raise Gesture3dError(
            f"{source}: {datasets.num_features} features a frame; the network was trained on "
            f"{description.num_features}"
        )


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" * (len(names) > limit))


def _batches(dataset: Any, experiment: Experiment, here: Processes, progress: bool) -> Any:
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
