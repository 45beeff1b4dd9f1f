"""The one way from batches to scores: used in training, evaluation and classification."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d.data.batch import Batch
from gesture3d.distributed import Processes


@dataclass(frozen=True)
class Predictions:
    """One row a sample, sorted by key.

    Attributes:
        keys: stable sample keys; of streams a row is a step, `step_key`.
        scores: ``(N, num_classes)`` float32, before the softmax.
        labels: ``(N,)`` int64, -1 where the label is unknown.
    """

    keys: list[str]
    scores: np.ndarray
    labels: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """``(N,)`` int64: the class with the highest score."""
        return self.scores.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """``(N,)`` bool: whether that is the label."""
        return self.classes == self.labels

    @property
    def probabilities(self) -> np.ndarray:
        """``(N, num_classes)``, rows sum to 1."""
        return torch.from_numpy(self.scores).softmax(dim=1).numpy()


def step_key(key: str, step: int) -> str:
    """The key of a stream's step; sorted, they are in order."""
    return f"{key}@{step:06d}"


def stream_of_step(key: str) -> str:
    """The key of the stream of a step's `step_key`."""
    return key.rpartition("@")[0]


def score_steps(model: nn.Module, batch: Batch) -> tuple[list[str], Tensor, Tensor]:
    """Keys, scores (N, K) and labels (N,) of every whole step of the streams of a batch."""
    with _without_tf32():
        scores = model.step_scores(batch.inputs, batch.lengths)  # (B, S, K)
    labels = batch.step_labels(model.step_frames)
    counts = (batch.lengths // model.step_frames).tolist()
    keys = [step_key(batch.keys[row], n) for row, count in enumerate(counts) for n in range(count)]
    rows = [torch.cat([of[row, :n] for row, n in enumerate(counts)]) for of in (scores, labels)]
    return keys, *rows


def score(model: nn.Module, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Scores ``(B, num_classes)``. On a GPU in full fp32, without TF32.

    Of clips in several views ``(B, V, T, C, H, W)``, the logarithm of the mean of the views'
    probabilities, shifted so that log Σ exp of the scores is also the mean of the views'.
    """
    with _without_tf32():
        if inputs.ndim < 6:
            return model(inputs, lengths)
        scores = model(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])  # (B, V, classes)
    level = scores.logsumexp(dim=2).mean(dim=1, keepdim=True)
    return scores.log_softmax(dim=2).logsumexp(dim=1) - math.log(inputs.shape[1]) + level


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    processes: Processes | None = None,
) -> Predictions:
    """Scores of every sample of ``batches``, and of those of the other processes, once each.

    Always in fp32, whatever the network was trained in, so that a checkpoint gives the same scores
    in training, evaluation and classification, on any machine.
    """
    was_training = model.training
    model.eval()
    keys: list[str] = []
    scores: list[Tensor] = []
    labels: list[Tensor] = []
    try:
        for batch in batches:
            batch = batch.to(device)
            if batch.labels.ndim == 2:
                step_keys, step_scores, step_labels = score_steps(model, batch)
                keys += step_keys
                scores.append(step_scores)
                labels.append(step_labels)
                continue
            keys += batch.keys
            scores.append(score(model, batch.inputs, batch.lengths))
            labels.append(batch.labels)
    finally:
        model.train(was_training)
    part = (
        keys,
        torch.cat(scores).cpu().numpy() if scores else None,
        torch.cat(labels).cpu().numpy() if labels else None,
    )
    parts = [p for p in (processes.gather(part) if processes else [part]) if p[0]]
    all_keys = [key for part in parts for key in part[0]]
    order = sorted(range(len(all_keys)), key=all_keys.__getitem__)
    return Predictions(
        keys=[all_keys[i] for i in order],
        scores=np.concatenate([p[1] for p in parts])[order],
        labels=np.concatenate([p[2] for p in parts])[order],
    )
