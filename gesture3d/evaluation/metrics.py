"""Metrics of predictions, each over every labelled sample exactly once."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import calibration_error
from gesture3d.evaluation.predict import Predictions


@dataclass(frozen=True)
class Metrics:
    """Shares are 0..1; per class means an array ``(num_classes,)``.

    Attributes:
        loss: cross-entropy, nats.
        top1, top5: shares of the samples.
        mean_class_accuracy: mean of the recalls of the classes that have samples.
        macro_f1, weighted_f1: mean of the F1 scores of the classes that have samples or
            predictions; the same weighted by the classes' shares of the samples.
        calibration_error: expected calibration error, see `calibration`.
        precision, recall, f1: per class, 0 where undefined.
        confusion_matrix: ``(num_classes, num_classes)`` counts, rows: true class, columns:
            predicted class.
    """

    loss: float
    top1: float
    top5: float
    mean_class_accuracy: float
    macro_f1: float
    weighted_f1: float
    calibration_error: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    confusion_matrix: np.ndarray

    @property
    def samples(self) -> np.ndarray:
        """Labelled samples per class."""
        return self.confusion_matrix.sum(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Correctly classified samples per class."""
        return np.diag(self.confusion_matrix)

    def scalars(self) -> dict[str, float]:
        """What is followed over the epochs of a run."""
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5}

    def all_scalars(self) -> dict[str, float]:
        """All numbers of a whole split, each 0..1 but the loss."""
        names = ("mean_class_accuracy", "macro_f1", "weighted_f1", "calibration_error")
        return self.scalars() | {name: getattr(self, name) for name in names}

    def per_class(self) -> list[dict[str, Any]]:
        """A row a class, in the order of the classes."""
        return [
            {
                "samples": int(self.samples[i]),
                "correct": int(self.correct[i]),
                "precision": float(self.precision[i]),
                "recall": float(self.recall[i]),
                "f1": float(self.f1[i]),
            }
            for i in range(len(self.f1))
        ]


def compute_metrics(predictions: Predictions) -> Metrics:
    """Metrics over all samples whose label is known.

    Raises:
        Gesture3dError: no sample has a label, or a score is NaN or infinite.
    """
    if not np.isfinite(predictions.scores).all():
        raise Gesture3dError(
            "scores are not finite: the network's weights, or the values of its inputs, are out of "
            "range"
        )
    known = predictions.labels >= 0
    if not known.any():
        raise Gesture3dError("no labelled sample to evaluate: this split has no (known) labels")
    scores, labels = predictions.scores[known], predictions.labels[known]
    count = scores.shape[1]
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (labels, predictions.classes[known]), 1)
    correct, samples, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    recall, f1 = _shares(correct, samples), _shares(2 * correct, samples + predicted)
    best = torch.from_numpy(scores).topk(min(5, count)).indices.numpy()
    return Metrics(
        loss=_loss(torch.from_numpy(scores), torch.from_numpy(labels)),
        top1=float(correct.sum() / len(labels)),
        top5=float((best == labels[:, None]).any(axis=1).mean()),
        mean_class_accuracy=float(recall[samples > 0].mean()),
        macro_f1=float(f1[samples + predicted > 0].mean()),
        weighted_f1=float(f1 @ samples / len(labels)),
        calibration_error=calibration_error(predictions.probabilities[known], labels),
        precision=_shares(correct, predicted),
        recall=recall,
        f1=f1,
        confusion_matrix=matrix,
    )


def _shares(counts: np.ndarray, of: np.ndarray) -> np.ndarray:
    """0 where there is nothing that they could be shares of."""
    return counts / np.maximum(of, 1)


def _loss(scores: torch.Tensor, labels: torch.Tensor) -> float:
    loss = F.cross_entropy(scores, labels).item()
    return loss if math.isfinite(loss) else F.cross_entropy(scores.double(), labels).item()
