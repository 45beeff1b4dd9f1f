"""Metrics of predictions, each over every labelled sample exactly once."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predict import Predictions


@dataclass(frozen=True)
class Metrics:
    """Attributes: loss (cross-entropy, nats), top1 and top5 (shares, 0..1), confusion_matrix
    ``(num_classes, num_classes)`` counts, rows: true class, columns: predicted class."""

    loss: float
    top1: float
    top5: float
    confusion_matrix: np.ndarray

    def scalars(self) -> dict[str, float]:
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5}


def compute_metrics(predictions: Predictions) -> Metrics:
    """Metrics over all samples whose label is known.

    Raises:
        Gesture3dError: no sample has a label.
    """
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_confusion_matrix,
    )

    known = torch.from_numpy(predictions.labels >= 0)
    if not known.any():
        raise Gesture3dError("no labelled sample to evaluate: this split has no (known) labels")
    scores = torch.from_numpy(predictions.scores)[known]
    labels = torch.from_numpy(predictions.labels)[known]
    num_classes = scores.shape[1]

    def accuracy(k: int) -> float:
        kwargs = {"average": "micro", "top_k": min(k, num_classes)}
        return multiclass_accuracy(scores, labels, num_classes, **kwargs).item()

    matrix = multiclass_confusion_matrix(scores, labels, num_classes).numpy()
    return Metrics(F.cross_entropy(scores, labels).item(), accuracy(1), accuracy(5), matrix)
