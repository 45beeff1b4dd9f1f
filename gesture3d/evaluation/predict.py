"""The one way from batches to scores: used in training, evaluation and classification."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d.data.batch import Batch
from gesture3d.training.distributed import Processes


@dataclass(frozen=True)
class Predictions:
    """One row a sample, sorted by key.

    Attributes:
        keys: stable sample keys.
        scores: ``(N, num_classes)`` float32, before the softmax.
        labels: ``(N,)`` int64, -1 where the label is unknown.
    """

    keys: list[str]
    scores: np.ndarray
    labels: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """``(N, num_classes)``, rows sum to 1."""
        return torch.from_numpy(self.scores).softmax(dim=1).numpy()


def compute_scores(
    model: nn.Module, inputs: Tensor, lengths: Tensor | None, precision: str = "fp32"
) -> Tensor:
    """Scores ``(B, num_classes)`` in float32 of a batch that is on the model's device."""
    bf16 = precision == "bf16"
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=bf16):
        return model(inputs, lengths).float()


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    precision: str = "fp32",
    processes: Processes | None = None,
) -> Predictions:
    """Scores of every sample of ``batches``, and of those of the other processes, once each."""
    was_training = model.training
    model.eval()
    keys: list[str] = []
    scores: list[Tensor] = []
    labels: list[Tensor] = []
    try:
        for batch in batches:
            batch = batch.to(device)
            keys += batch.keys
            scores.append(compute_scores(model, batch.inputs, batch.lengths, precision))
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
