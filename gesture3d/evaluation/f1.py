"""F1 scores, the usual measure where classes are unevenly filled (Opportunity's NULL class)."""

import numpy as np


def f1_scores(confusion_matrix: np.ndarray) -> tuple[float, float]:
    """Weighted and macro F1 (0..1) of counts with true classes in rows.

    F1 of a class is 2 · hits / (samples + predictions). Weighted: averaged by the classes' shares
    of the samples. Macro: averaged over the classes that have samples or predictions.
    """
    hits = np.diag(confusion_matrix).astype(np.float64)
    samples, predictions = confusion_matrix.sum(axis=1), confusion_matrix.sum(axis=0)
    f1 = 2 * hits / np.maximum(samples + predictions, 1)
    present = samples + predictions > 0
    return float((f1 * samples).sum() / samples.sum()), float(f1[present].mean())
