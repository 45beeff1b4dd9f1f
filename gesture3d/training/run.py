"""One run from its description to its report: what ``tools/train.py`` calls."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gesture3d import checkpoint
from gesture3d.command_line import how_to_start
from gesture3d.config import Experiment, TrainConfig, dump_experiment, with_overrides
from gesture3d.data import Datasets, build_datasets
from gesture3d.data.batch import Sample, collate
from gesture3d.data.loader import explain_dead_worker
from gesture3d.distributed import Processes, processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import check_root
from gesture3d.files import write_text
from gesture3d.machine import num_cores, num_threads_allowed
from gesture3d.models import build_model
from gesture3d.models.network import Network
from gesture3d.text import one_line
from gesture3d.training.loop import Trainer
from gesture3d.training.run_log import RunLog

# What a resumed run may have otherwise. More processes or threads round differently, and processes
# share out the batches that batch norm sees; the rest changes no number.
RESUMED = (
    *("data.root", "data.num_workers", "train.device", "train.processes", "train.num_threads"),
    "train.checkpoint_minutes",
)


def train(
    experiment: Experiment,
    folder: Path,
    *,
    init: Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Train, and leave checkpoints, logs and a report in ``folder``.

    Args:
        init: weights to start from (fine-tuning).
        resume: continue from ``folder/last.ckpt``. Of processes that train together, as the main
            one has it.

    Returns:
        The path of the best weights.

    Raises:
        Gesture3dError: anything a user can cause, before anything is written where possible.
        Interrupted: stopped by a signal, saved.
    """
    config = experiment.train
    if init:
        experiment = checkpoint.prepared_alike(experiment, init)
    with processes(config.device) as here:
        folder, resume = here.gather((folder, resume))[0]  # the main process has chosen
        torch.set_num_threads(_num_threads(config, here))
        datasets = _datasets(experiment, here, progress)
        torch.manual_seed(config.seed)
        model = build_model(experiment.model, len(datasets.class_names), datasets.spec.num_features)
        if experiment.data.fits_inputs:
            model.fit_inputs(datasets.train.inputs)
        _check_size(model, experiment)
        started = "from scratch"
        if init:
            names = datasets.class_names
            started = checkpoint.initialise_from(model, experiment, init, names)
        log = RunLog(folder, is_main=here.is_main, num_epochs=config.epochs, progress=progress)
        trainer = Trainer(experiment, model, datasets, here, log)
        if resume:
            trainer.resume(log.last_path)
            at = trainer.progress
            started = f"resumed at epoch {at.epoch + 1}, step {at.step + 1}"
        if here.is_main:
            write_text(folder / "experiment.yaml", dump_experiment(experiment))
        parameters = sum(p.numel() for p in model.parameters())
        num_validation = len(datasets.validation) if datasets.validation else 0
        log.say(
            f"{folder}: {len(datasets.train)} training and {num_validation} validation samples, "
            f"{len(datasets.class_names)} classes, {parameters / 1e6:.2f} M parameters, "
            f"{here.device.type}; {started}"
        )
        try:
            _log_inputs(log, datasets)
            trainer.run()
            left_out = trainer.left_out()
            if here.is_main:
                from gesture3d.training.closing import close  # draws: the others need not import it

                close(trainer, left_out)
        except RuntimeError as error:
            dead = explain_dead_worker(error)
            if dead is None:
                raise
            advice = f"; continue: {how_to_start('train', '--resume', folder)}"
            saved = log.last_path.exists()
            raise Gesture3dError(f"{dead}{advice if saved else ''}") from error
        finally:
            log.close()
    return log.best_path


def resumable(folder: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of an interrupted run.

    Args:
        overrides: settings of `RESUMED`, of where the data is and how it is computed.

    Raises:
        Gesture3dError: there is nothing to resume; other settings, with which it would be another
            run.
    """
    path = folder / "last.ckpt"
    if not path.is_file():
        known = sorted(str(p.parent) for p in folder.parent.glob("*/last.ckpt"))
        found = f"; resumable here: {', '.join(known)}" if known else ""
        begun = (folder / "experiment.yaml").is_file()
        anew = f"; start it anew, with its command and --name {folder.name}" if begun else ""
        raise Gesture3dError(f"{folder}: nothing to resume, no last.ckpt there{anew}{found}")
    for override in overrides:
        if override.partition("=")[0].strip() not in RESUMED:
            raise Gesture3dError(
                f"--set {one_line(override, 100)}: it would be another run; a resumed one "
                f"takes {', '.join(RESUMED)}"
            )
    stored = checkpoint.load(path)[1].validated_experiment(path)
    experiment = with_overrides(stored, list(overrides))
    if experiment.data.root == stored.data.root:
        check_root(experiment, path, "name its place: --set data.root=…")
    return experiment


def is_of(experiment: Experiment, folder: Path, init: Path | None = None) -> bool:
    """Whether a folder's ``last.ckpt`` is of this experiment, computed anyhow.

    Args:
        init: weights that the experiment starts from.
    """
    if init:
        experiment = checkpoint.prepared_alike(experiment, init)
    path = folder / "last.ckpt"
    trees = [checkpoint.load(path)[1].validated_experiment(path).model_dump(mode="json")]
    trees.append(experiment.model_dump(mode="json"))
    for key in RESUMED:
        section, name = key.split(".")
        for tree in trees:
            tree[section].pop(name)
    return trees[0] == trees[1]


def _num_threads(config: TrainConfig, here: Processes) -> int:
    allowed = num_threads_allowed()
    if config.num_threads and allowed and config.num_threads > allowed:
        raise Gesture3dError(
            f"train.num_threads={config.num_threads}, but the environment variable "
            f"OMP_THREAD_LIMIT allows {allowed}, and more would wait for ever: make one of them fit"
        )
    return config.num_threads or max(1, num_cores() // here.world_size)


def _datasets(experiment: Experiment, here: Processes, progress: bool) -> Datasets:
    """The main process prepares the data (renders, caches), then the others open it."""
    show = here.is_main and progress
    built = here.main_first(
        lambda: build_datasets(experiment.data, experiment.train.seed, progress=show)
    )
    if len(built.class_names) < 2:
        raise Gesture3dError(
            f"{experiment.data.root}: one class only, {built.class_names[0]!r}; there must be two"
        )
    if built.validation is None and experiment.train.keep == "best":
        raise Gesture3dError(
            "there is no validation split to choose the best epoch on: hold some out, for example "
            "with data.validation_groups, or set train.keep=last"
        )
    return built


def _check_size(model: Network, experiment: Experiment) -> None:
    """Raise where the clips are too short or too small for the network."""
    data = experiment.data
    if model.reads == "clips":
        try:
            model.check((1, data.num_frames, data.num_channels, data.size, data.size))
        except ValueError as error:
            raise Gesture3dError(f"data.num_frames, data.size: {error}") from None


def _label(sample: Sample, class_names: tuple[str, ...]) -> str:
    """Of a clip its class; of a stream all that are in it."""
    numbers = np.unique(sample.label)
    return ", ".join(class_names[n] for n in numbers if n >= 0)


def _log_inputs(log: RunLog, datasets: Datasets, count: int = 8) -> None:
    """A few training clips as the network gets them."""
    chosen = range(0, len(datasets.train), max(len(datasets.train) // count, 1))[:count]
    samples = [s for s in (datasets.train[index] for index in chosen) if isinstance(s, Sample)]
    if samples and samples[0].inputs.ndim == 4:
        titles = [f"{s.key}: {_label(s, datasets.class_names)}" for s in samples]
        log.inputs(collate(samples).inputs.numpy(), titles)
