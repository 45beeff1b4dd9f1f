"""The training loop of every stream.

A run is a sequence of optimiser steps, each addressed by (epoch, step in the epoch). All
randomness is a function of that address, so a run that continues from its last checkpoint ends
with the very weights of an uninterrupted one.
"""

import contextlib
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d.config import Experiment
from gesture3d.data import Datasets
from gesture3d.data.batch import Batch
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.metrics import Metrics, compute_metrics
from gesture3d.evaluation.predict import predict
from gesture3d.machine import autocast
from gesture3d.rng import generator
from gesture3d.training.batches import batch_norm_in_words, evaluation_loader, training_loader
from gesture3d.training.loss import Loss
from gesture3d.training.optim import learning_rate
from gesture3d.training.run_log import RunLog
from gesture3d.training.state import Progress, RunState
from gesture3d.training.stopping import Interrupted, on_stop_signals

ASK_EVERY = 16  # steps: whether all of several processes are to stop, which costs a message


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
        self.experiment, self.datasets = experiment, datasets
        self.processes, self.log = processes, log
        config = experiment.train
        self.model = model.to(processes.device)
        self.state = RunState(experiment, self.model, datasets)
        if config.gradient_checkpointing:
            self.model.gradient_checkpointing = True
        self.streams = experiment.data.streams
        network = StepScores(model) if self.streams else self.model
        self.network = processes.parallel(network, sync_batch_norm=config.sync_batch_norm)
        if config.compile:
            self.network = torch.compile(self.network)
        self.loss = Loss(
            experiment.optim, datasets.train.labels, datasets.class_names, processes.device
        )
        self.autocast = autocast(processes.device, config.precision)
        self.train_loader = training_loader(datasets.train, experiment, processes)
        self.validation_loader = datasets.validation and evaluation_loader(
            datasets.validation, experiment, processes
        )
        self.steps_per_epoch = -(-len(self.train_loader) // config.accumulate)
        self.total_steps = config.epochs * self.steps_per_epoch
        self._stop = False
        self._saved_at = time.monotonic()

    @property
    def progress(self) -> Progress:
        """How far the training has come."""
        return self.state.progress

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
        self.train_loader.batch_sampler.set_position(progress.epoch, progress.step * accumulate)
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
                    self._check_finite(sums[0].item())
                    bar.show(sums.tolist())
                self._after_step(sums, time.monotonic() - started)
        progress.sums = self.processes.sum(sums).tolist()  # waits until a GPU has done it all
        progress.seconds = time.monotonic() - started
        self._check_finite(sums[0].item())

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
            self.train_loader.batch_sampler.set_position(progress.epoch, step * accumulate)
            batches = [b for _, b in zip(range(accumulate), self.train_loader, strict=False)]
            self._step(batches, losses.new_zeros(4), kind=f"replay {step}")

    def _step(self, batches: list[Batch], sums: Tensor, kind: str = "step") -> None:
        """One optimiser step on one or more (accumulated) batches; adds to the epoch's sums."""
        progress, optim = self.progress, self.experiment.optim
        step = progress.epoch * self.steps_per_epoch + progress.step
        step = min(step, self.total_steps - 1)  # replays come after the last one
        address = generator(self.experiment.train.seed, kind, step, self.processes.rank)
        torch.manual_seed(int(address.integers(2**62)))  # dropout
        for group in self.state.optimizer.param_groups:
            group["lr"] = learning_rate(optim, step, self.total_steps)
        total = sum(len(batch.keys) for batch in batches)
        for number, batch in enumerate(batches):
            batch = batch.to(self.processes.device)
            last = number == len(batches) - 1
            with contextlib.nullcontext() if last else self.network.no_sync():
                with self.autocast, batch_norm_in_words(batch):
                    scores = self.network(batch.inputs, batch.lengths).float()
                labels = batch.labels
                if self.streams:
                    scores, labels = self._learnt_steps(scores, batch)
                loss = self.loss(scores, labels)
                (loss * (len(batch.keys) / total) * self._uneven(len(batch.keys))).backward()
            _add_sums(sums, loss.detach(), scores.detach(), labels)
        if optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm)
        self.state.optimizer.step()
        self.state.optimizer.zero_grad(set_to_none=True)
        if self.state.average:
            self.state.average.update(self.model, step)

    def _uneven(self, own: int) -> float:
        """What this process's mean counts where fewer samples than a batch are shared out: the mean
        over processes is then that over samples."""
        samples, world_size = len(self.datasets.train), self.processes.world_size
        few = samples < self.experiment.train.batch_size and samples % world_size
        return own * world_size / samples if few else 1.0

    def _learnt_steps(self, scores: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(N, K) and (N,): of the steps in windows of streams, without the pre-roll."""
        labels = batch.step_labels(self.model.step_frames)
        learnt = labels >= 0
        return scores[learnt], labels[learnt]

    def _after_step(self, sums: Tensor, seconds: float) -> None:
        """Save now and then, and when asked to stop (then in all processes together)."""
        minutes = self.experiment.train.checkpoint_minutes
        due = time.monotonic() - self._saved_at >= 60 * minutes
        alone = self.processes.world_size == 1
        if not alone:
            if (self.progress.epoch * self.steps_per_epoch + self.progress.step) % ASK_EVERY:
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
        last_step = (progress.epoch + 1) * self.steps_per_epoch - 1
        row = progress.row(learning_rate(self.experiment.optim, last_step, self.total_steps))
        metrics = None
        due = final or (progress.epoch + 1) % config.eval_every == 0
        if due and self.validation_loader:
            metrics = self._evaluate()
            row |= {f"validation_{name}": value for name, value in metrics.scalars().items()}
        for name, value in row.items():  # finite scores may have an infinite loss
            if isinstance(value, float):
                self._check_finite(value, name.replace("_", " "))
        progress.history.append(row)
        keep = final if config.keep == "last" else metrics and progress.is_best(row)
        if keep:
            progress.best_epoch = progress.epoch
            if self.processes.is_main:
                self.state.save_weights(self.log.best_path, metrics)
        progress.next_epoch()
        self.log.epoch(progress.history)
        self.save_last()
        self.log.say_epoch(row, metrics)  # last: who reads it may have gone

    def _evaluate(self) -> Metrics:
        """On the validation split, over all processes."""
        model, here = self.state.evaluated, self.processes
        here.share_buffers(model)
        predictions = predict(model, self.validation_loader, here.device, here)
        highest = float(np.abs(predictions.scores).max(initial=0))  # NaN where one is
        self._check_finite(highest, "highest validation score")  # the last step may have diverged
        return compute_metrics(predictions)

    def left_out(self) -> dict[str, str]:
        """Clips that any process could not decode and left out, with the reasons."""
        loaders = filter(None, (self.train_loader, self.validation_loader))
        met = [found for loader in loaders for found in self.processes.gather(loader.broken)]
        return {key: why for part in (self.datasets.left_out, *met) for key, why in part.items()}

    def save_last(self) -> None:
        """Everything needed to continue exactly here."""
        self._saved_at = time.monotonic()
        if self.processes.is_main:
            self.state.save(self.log.last_path)

    def resume(self, path: Path) -> None:
        """Continue from a ``last.ckpt`` of this very experiment and data.

        Raises:
            Gesture3dError: the data has changed since, or the file does not fit.
        """
        self.state.restore(path, self.steps_per_epoch)
        if not self.processes.is_main:  # the sums so far are the main process's
            self.progress.sums = [0.0] * 4
            self.progress.losses = [0.0] * len(self.progress.losses)

    def _check_finite(self, value: float, what: str = "training loss") -> None:
        if not math.isfinite(value):
            raise Gesture3dError(
                f"the {what} became {value} in epoch {self.progress.epoch + 1}; "
                f"try a smaller optim.lr (now {self.experiment.optim.lr}) or optim.clip_norm=1"
            )

    def _ask_to_stop(self) -> None:
        self._stop = True


class StepScores(nn.Module):
    """A causal network that gives scores at every step, (B, S, K), where it is called."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        return self.model.step_scores(inputs, lengths)


def _add_sums(sums: Tensor, loss: Tensor, scores: Tensor, labels: Tensor) -> None:
    """Add loss, top-1 hits, top-5 hits and sample count, without waiting for the device."""
    count = len(labels)
    top = scores.topk(min(5, scores.shape[1]), dim=1).indices == labels[:, None]
    number = torch.full_like(sums[0], count)  # filled on the device: copying a tensor there waits
    sums += torch.stack([loss.double() * count, top[:, 0].sum(), top.sum(), number])
