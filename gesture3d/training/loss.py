"""The loss of a batch: cross-entropy, smoothed, and weighted by class where that is asked for."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gesture3d.config import OptimConfig
from gesture3d.errors import Gesture3dError


class Loss:
    """The mean over a batch: of scores (B, K) and labels (B,)."""

    def __init__(
        self,
        config: OptimConfig,
        labels: np.ndarray,
        class_names: Sequence[str],
        device: torch.device,
    ) -> None:
        self.smoothing = config.label_smoothing
        weights = class_weights(config.class_weights, labels, class_names)
        self.weights = None if weights is None else weights.to(device)

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        if self.weights is None:
            return F.cross_entropy(scores, labels, label_smoothing=self.smoothing)
        losses = F.cross_entropy(scores, labels, label_smoothing=self.smoothing, reduction="none")
        return (self.weights[labels] * losses).mean()


def class_weights(
    wanted: str | tuple[float, ...] | None, labels: np.ndarray, class_names: Sequence[str]
) -> Tensor | None:
    """The weight (classes,) of a sample's loss by its class, with mean 1 over the samples.

    Args:
        wanted: ``optim.class_weights``.
        labels: of the training samples.

    Raises:
        Gesture3dError: not one weight for each class, or nothing but zeros.
    """
    if wanted is None:
        return None
    counts = np.bincount(labels, minlength=len(class_names))
    if wanted == "balanced":
        weights = np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0)
    else:
        weights = np.array(wanted)
        if len(weights) != len(class_names):
            raise Gesture3dError(
                f"optim.class_weights: {len(weights)} weights for {len(class_names)} classes; "
                f"give one for each of {', '.join(class_names)}, or balanced"
            )
    total = (weights * counts).sum()
    if not total > 0:
        raise Gesture3dError("optim.class_weights: no training sample has a weight above 0")
    return torch.from_numpy(weights * counts.sum() / total).float()
