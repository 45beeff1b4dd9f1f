"""Plots of a run: learning curves and confusion matrices, as matplotlib figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def plot_curves(history: list[dict[str, Any]]) -> Figure:
    """Loss and top-1 of training and validation, and the learning rate, over the epochs."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (title, names) in zip(
        figure.subplots(1, 3),
        (
            ("loss", ("train_loss", "validation_loss")),
            ("top-1", ("train_top1", "validation_top1")),
            ("learning rate", ("learning_rate",)),
        ),
        strict=True,
    ):
        for name in names:
            rows = [(row["epoch"] + 1, row[name]) for row in history if name in row]
            label = name.split("_")[0] if len(names) > 1 else None
            axes.plot(*zip(*rows, strict=True), marker=".", label=label)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    return figure


def plot_confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Rows: true class, columns: predicted class; shade: share of the true class's samples."""
    count = len(class_names)
    side = max(4.0, 0.28 * count + 2.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(count)
    axes.set_xticks(ticks, class_names, rotation=90, fontsize=7)
    axes.set_yticks(ticks, class_names, fontsize=7)
    axes.set(xlabel="predicted", ylabel="true")
    if count <= 40:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(int(matrix[row, column]))
            axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    return figure
