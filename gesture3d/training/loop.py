"""The training loop of every stream.

A run is a sequence of optimiser steps, each addressed by (epoch, step in the epoch). All
randomness is a function of that address, so a run that continues from its last checkpoint ends
with the very weights of an uninterrupted one.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gesture3d import checkpoint
from gesture3d.config import Experiment
from gesture3d.data import Datasets, make_loader
from gesture3d.data.batch import Batch, EpochSampler
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.metrics import Metrics, compute_metrics
from gesture3d.evaluation.predict import Predictions, predict
from gesture3d.machine import autocast, peak_memory
from gesture3d.rng import generator
from gesture3d.training.optim import WeightAverage, build_optimizer, class_weights, learning_rate
from gesture3d.training.resumed import checked_progress
from gesture3d.training.run_log import RunLog
from gesture3d.training.state import Progress, restore, tensors_of
from gesture3d.training.stopping import on_stop_signals


class Interrupted(Exception):
    """The run was asked to stop and has been saved."""


class Trainer:
    """Network, optimiser and position of one run, in one process of perhaps several."""

    def __init__(
        self,
        experiment: Experiment,
        model: nn.Module,
        datasets: Datasets,
        processes: Processes,
        log: RunLog,
    ) -> None:
        self.experiment, self.datasets, self.processes, self.log = (
            experiment,
            datasets,
            processes,
            log,
        )
        config = experiment.train
        self.model = model.to(processes.device)
        self.optimizer = build_optimizer(self.model, experiment.optim)
        decay = experiment.optim.ema_decay
        self.average = WeightAverage(self.model, decay) if decay else None
        if config.gradient_checkpointing:
            self.model.gradient_checkpointing = True
        self.network = self._parallel(self.model)
        if config.compile:
            self.network = torch.compile(self.network)
        weights = class_weights(
            experiment.optim.class_weights, datasets.train.labels, datasets.class_names
        )
        self.class_weights = None if weights is None else weights.to(processes.device)
        self.autocast = autocast(processes.device, config.precision)
        self.progress = Progress()
        self.train_sampler = self._sampler(datasets.train, config.batch_size, training=True)
        self.train_loader = self._loader(datasets.train, self.train_sampler)
        self.validation_loader = datasets.validation and self._loader(
            datasets.validation,
            self._sampler(datasets.validation, config.eval_batch_size, training=False),
        )
        self.steps_per_epoch = -(-len(self.train_sampler) // config.accumulate)
        self.total_steps = config.epochs * self.steps_per_epoch
        self._stop = False
        self._saved_at = time.monotonic()

    # --- the run --------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Train from the current position to the end.

        Raises:
            Interrupted: SIGINT or SIGTERM arrived; ``last.ckpt`` holds the position.
            Gesture3dError: the loss is no longer finite.
        """
        with on_stop_signals(self._ask_to_stop):  # the current step is finished
            while self.progress.epoch < self.experiment.train.epochs:
                self._train_epoch()
                self._replay_worst()
                self._finish_epoch()
        return self.progress

    def _train_epoch(self) -> None:
        progress, accumulate = self.progress, self.experiment.train.accumulate
        self.model.train()
        self.train_sampler.set_position(progress.epoch, progress.step * accumulate)
        sums = torch.tensor(progress.sums, dtype=torch.float64, device=self.processes.device)
        remaining = self.steps_per_epoch - progress.step
        batches = iter(self.train_loader)
        started = time.monotonic() - progress.seconds
        with self.log.bar(progress.epoch, progress.step, self.steps_per_epoch) as bar:
            for _ in range(remaining):
                step_batches = [b for _, b in zip(range(accumulate), batches, strict=False)]
                before = sums[0].item() if self.experiment.train.replay_worst else None
                self._step(step_batches, sums)
                if before is not None:
                    progress.losses.append(sums[0].item() - before)
                progress.step += 1
                if bar.update():  # about once a second: the only time the loop waits for a device
                    self._check_finite(sums)
                    bar.show(sums.tolist())
                self._after_step(sums, time.monotonic() - started)
        progress.sums = self.processes.sum(sums).tolist()  # waits until a GPU has done it all
        progress.seconds = time.monotonic() - started
        self._check_finite(sums)

    def _replay_worst(self) -> None:
        """Train once more on the batches that had the highest losses in this epoch, worst first.

        A run that stops in here has its last checkpoint before it, and does all of it again.
        """
        count, progress = self.experiment.train.replay_worst, self.progress
        if not count:
            return
        accumulate = self.experiment.train.accumulate
        losses = self.processes.sum(
            torch.tensor(progress.losses, dtype=torch.float64, device=self.processes.device)
        )
        for step in losses.argsort(descending=True, stable=True)[:count].tolist():
            self.train_sampler.set_position(progress.epoch, step * accumulate)
            batches = [b for _, b in zip(range(accumulate), self.train_loader, strict=False)]
            self._step(batches, losses.new_zeros(4), kind=f"replay {step}")

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        smoothing, weights = self.experiment.optim.label_smoothing, self.class_weights
        if weights is None:
            return F.cross_entropy(scores, labels, label_smoothing=smoothing)
        losses = F.cross_entropy(scores, labels, label_smoothing=smoothing, reduction="none")
        return (weights[labels] * losses).mean()

    def _step(self, batches: list[Batch], sums: Tensor, kind: str = "step") -> None:
        """One optimiser step on one or more (accumulated) batches; adds to the epoch's sums."""
        progress, optim = self.progress, self.experiment.optim
        step = progress.epoch * self.steps_per_epoch + progress.step
        step = min(step, self.total_steps - 1)  # replays come after the last one
        address = generator(self.experiment.train.seed, kind, step, self.processes.rank)
        torch.manual_seed(int(address.integers(2**62)))  # dropout
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(optim, step, self.total_steps)
        total = sum(len(batch.keys) for batch in batches)
        for number, batch in enumerate(batches):
            batch = batch.to(self.processes.device)
            last = number == len(batches) - 1
            with contextlib.nullcontext() if last else self._no_sync():
                with self.autocast, _batch_norm_in_words(batch):
                    scores = self.network(batch.inputs, batch.lengths).float()
                loss = self._loss(scores, batch.labels)
                (loss * (len(batch.keys) / total)).backward()
            _add_sums(sums, loss.detach(), scores.detach(), batch.labels)
        if optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.model, step)

    def _after_step(self, sums: Tensor, seconds: float) -> None:
        """Save now and then, and when asked to stop (then in all processes together)."""
        minutes = self.experiment.train.checkpoint_minutes
        due = time.monotonic() - self._saved_at >= 60 * minutes
        alone = self.processes.world_size == 1
        # With several processes all must agree, which costs a message: ask every 16th step.
        if not alone:
            if (self.progress.epoch * self.steps_per_epoch + self.progress.step) % 16:
                return
            due, self._stop = self.processes.any(due), self.processes.any(self._stop)
        if due or self._stop:
            own = self.progress.losses
            losses = torch.tensor(own, dtype=torch.float64, device=sums.device)
            self.progress.losses = self.processes.sum(losses).tolist() if own else []
            self.progress.sums = self.processes.sum(sums.clone()).tolist()
            self.progress.seconds = seconds
            self.save_last()
            self.progress.losses = own
        if self._stop:
            raise Interrupted

    def _finish_epoch(self) -> None:
        progress, config = self.progress, self.experiment.train
        final = progress.epoch == config.epochs - 1
        row = self._training_row()
        metrics = None
        due = final or (progress.epoch + 1) % config.eval_every == 0
        if due and self.validation_loader:
            _, metrics = self.evaluate()
            row |= {f"validation_{name}": value for name, value in metrics.scalars().items()}
        progress.history.append(row)
        keep = final if config.keep == "last" else metrics and self._is_best(row)
        if keep:
            progress.best_epoch = progress.epoch
            self.save_best(metrics)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.sums, progress.seconds, progress.losses = [0.0] * 4, 0.0, []
        self.log.epoch(progress.history)
        self.save_last()
        self.log.say_epoch(row, metrics)  # last: who reads it may have gone

    def _training_row(self) -> dict[str, Any]:
        loss, top1, top5, count = self.progress.sums
        count = max(count, 1.0)
        step = (self.progress.epoch + 1) * self.steps_per_epoch - 1
        return {
            "epoch": self.progress.epoch,
            "learning_rate": learning_rate(self.experiment.optim, step, self.total_steps),
            "train_loss": loss / count,
            "train_top1": top1 / count,
            "train_top5": top5 / count,
            "clips_per_second": count / max(self.progress.seconds, 1e-9),
            "seconds": self.progress.seconds,
        }

    def _is_best(self, row: dict[str, Any]) -> bool:
        """Best on validation: highest top-1, then lowest loss."""

        def quality(row: dict[str, Any]) -> tuple[float, float]:
            return row["validation_top1"], -row["validation_loss"]

        best = self.progress.best_epoch
        return best < 0 or quality(row) > quality(self.progress.history[best])

    # --- evaluation -----------------------------------------------------------------------------

    def evaluate(self) -> tuple[Predictions, Metrics]:
        """Predictions and metrics on the validation split, over all processes."""
        model = self.average.model if self.average else self.model
        self.processes.share_buffers(model)
        predictions = predict(
            model,
            self.validation_loader,
            self.processes.device,
            self.processes,
        )
        return predictions, compute_metrics(predictions)

    def whole(self, dataset: Any) -> Any:
        """Batches of a whole split, for one process alone."""
        size = self.experiment.train.eval_batch_size
        sampler = EpochSampler(num_samples=len(dataset), batch_size=size, seed=0, shuffle=False)
        return self._loader(dataset, sampler)

    def left_out(self) -> dict[str, str]:
        """Clips that any process could not decode and left out, with the reasons."""
        loaders = filter(None, (self.train_loader, self.validation_loader))
        met = [found for loader in loaders for found in self.processes.gather(loader.broken)]
        return {key: why for part in (self.datasets.left_out, *met) for key, why in part.items()}

    # --- checkpoints ----------------------------------------------------------------------------

    def save_best(self, metrics: Metrics | None) -> None:
        """Weights and what is needed to use them."""
        if self.processes.is_main:
            model = self.average.model if self.average else self.model
            scores = {"validation": metrics.scalars()} if metrics else {}
            scores["epoch"] = self.progress.epoch
            checkpoint.save(self.log.best_path, model.state_dict(), self._describe(metrics=scores))

    def save_last(self) -> None:
        """Everything needed to continue exactly here."""
        self._saved_at = time.monotonic()
        if not self.processes.is_main:
            return
        self.progress.peak_memory = max(self.progress.peak_memory, peak_memory() or 0)
        tensors = tensors_of(self.model, self.average, self.optimizer)
        checkpoint.save(self.log.last_path, tensors, self._describe(progress=asdict(self.progress)))

    def resume(self, path: Path) -> None:
        """Continue from a ``last.ckpt`` of this very experiment and data.

        Raises:
            Gesture3dError: the data has changed since, or the file does not fit.
        """
        tensors, description = checkpoint.load(path)
        if description.data_fingerprint != self.datasets.fingerprint:
            raise Gesture3dError(
                f"{path}: the data set has changed since this run began (its samples or labels "
                "differ); start a new run"
            )
        progress = checked_progress(
            description.progress, self.experiment, self.steps_per_epoch, path
        )
        begun = progress["epoch"] > 0 or progress["step"] > 0
        restore(tensors, self.model, self.average, self.optimizer, path, begun=begun)
        self.progress = Progress(**progress)
        if not self.processes.is_main:  # the sums so far are the main process's
            self.progress.sums = [0.0] * 4
            self.progress.losses = [0.0] * len(self.progress.losses)

    def _describe(self, **fields: Any) -> checkpoint.Description:
        return checkpoint.Description(
            experiment=self.experiment.model_dump(mode="json"),
            class_names=list(self.datasets.class_names),
            data_fingerprint=self.datasets.fingerprint,
            num_features=self.datasets.num_features,
            channel_names=self.datasets.channel_names and list(self.datasets.channel_names),
            **fields,
        )

    # --- set-up ---------------------------------------------------------------------------------

    def _sampler(self, dataset: Any, batch_size: int, *, training: bool) -> EpochSampler:
        world = self.processes.world_size
        if training and batch_size % world:
            raise Gesture3dError(
                f"train.batch_size {batch_size} is the total over all processes; it must be a "
                f"multiple of their number, {world}"
            )
        return EpochSampler(
            num_samples=len(dataset),
            batch_size=batch_size // world if training else batch_size,
            seed=self.experiment.train.seed,
            shuffle=training,
            rank=self.processes.rank,
            world_size=world,
            drop_last=training,
            lengths=self._lengths(dataset) if training else None,
            balance=dataset.labels if training and self.experiment.data.balance else None,
        )

    def _lengths(self, dataset: Any) -> Any:
        """Of sequences that are to be put into batches of similar lengths; None otherwise."""
        bucket = getattr(self.experiment.data, "bucket_by_length", False)
        return dataset.lengths if bucket else None

    def _loader(self, dataset: Any, sampler: EpochSampler) -> Any:
        return make_loader(
            dataset,
            sampler,
            num_workers=self.experiment.data.num_workers,
            pin_memory=self.processes.device.type == "cuda",
        )

    def _parallel(self, model: nn.Module) -> nn.Module:
        if self.processes.world_size == 1:
            return model
        # Depthwise kernels' gradients have other strides for the same order in memory.
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        with warnings.catch_warnings():
            # `broadcast_buffers` has another name from torch 2.15 on.
            warnings.simplefilter("ignore", FutureWarning)
            # Running statistics are shared before each evaluation, not at every step.
            return DistributedDataParallel(model, broadcast_buffers=False)

    def _no_sync(self) -> contextlib.AbstractContextManager:
        no_sync = getattr(self.network, "no_sync", None)
        return no_sync() if no_sync else contextlib.nullcontext()

    def _check_finite(self, sums: Tensor) -> None:
        if not torch.isfinite(sums[0]):
            raise Gesture3dError(
                f"the training loss became {sums[0].item()} in epoch {self.progress.epoch + 1}; "
                f"try a smaller optim.lr (now {self.experiment.optim.lr}) or optim.clip_norm=1"
            )

    def _ask_to_stop(self) -> None:
        self._stop = True


@contextlib.contextmanager
def _batch_norm_in_words(batch: Batch) -> Iterator[None]:
    """Batch norm's own error where a channel has one value, as what to change."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise Gesture3dError(
            f"a batch of {len(batch.keys)} of shape {tuple(batch.inputs.shape[1:])} leaves the "
            "last layers one value a channel, which batch norm cannot normalise in training; "
            "raise train.batch_size (or the size or frames of a sample)"
        ) from error


def _add_sums(sums: Tensor, loss: Tensor, scores: Tensor, labels: Tensor) -> None:
    """Add loss, top-1 hits, top-5 hits and sample count, without waiting for the device."""
    count = len(labels)
    top = scores.topk(min(5, scores.shape[1]), dim=1).indices == labels[:, None]
    number = torch.full_like(sums[0], count)  # filled on the device: copying a tensor there waits
    sums += torch.stack([loss.double() * count, top[:, 0].sum(), top.sum(), number])
