"""Learning curves, confusion matrices and classified clips, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from gesture3d.data.video.corruptions import STRENGTHS, share_seen
from gesture3d.viz.drawing import drawable, finished, new_figure

MOST_NAMES = 170  # along an axis: more would lie over each other
LONGEST_FRAME = 4


def plot_curves(history: list[dict[str, Any]]) -> Figure:
    """Loss and top-1 of training and validation, and the learning rate, over the epochs."""
    figure = new_figure(10, 3.2)
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
            if not rows:
                continue  # no validation split
            label = name.split("_")[0] if len(names) > 1 else None
            axes.plot(*zip(*rows, strict=True), marker=".", label=label)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend()
    return finished(figure)


def plot_confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Rows: true class, columns: predicted class; shade: share of the true class's samples."""
    count = len(class_names)
    names = [drawable(name, 30) for name in class_names]
    side = max(4.0, 0.28 * count + 2.5)
    figure = new_figure(side, side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(0, count, -(-count // MOST_NAMES))
    axes.set_xticks(ticks, [names[tick] for tick in ticks], rotation=90, fontsize=7)
    axes.set_yticks(ticks, [names[tick] for tick in ticks], fontsize=7)
    axes.set(xlabel="predicted", ylabel="true")
    if count <= 40:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(int(matrix[row, column]))
            axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    return finished(figure)


def plot_predictions(
    clips: Sequence[np.ndarray],
    titles: Sequence[str],
    ranked: Sequence[Sequence[tuple[str, float]]],
    *,
    num_frames: int = 8,
) -> Figure:
    """One row a clip: its frames from left to right, then its most probable classes.

    Args:
        clips: uint8 ``(T, H, W, 3)`` each.
        ranked: for each clip (class name, probability), most probable first.
    """
    figure = new_figure(13, 1.25 * len(clips))
    grid = figure.subplots(len(clips), 2, squeeze=False, width_ratios=(4, 1))
    for (left, right), clip, title, classes in zip(grid, clips, titles, ranked, strict=True):
        chosen = np.linspace(0, len(clip) - 1, num_frames).round().astype(int)
        frames = central_crop(clip[chosen])
        left.imshow(np.concatenate(frames, axis=1), aspect="equal")
        left.set_title(drawable(title, 100), fontsize=8, loc="left", pad=2)
        left.set_axis_off()
        colours = ["cornflowerblue"] + ["lightsteelblue"] * (len(classes) - 1)
        shares = [probability for _, probability in classes]
        right.barh(range(len(classes)), shares, color=colours)  # two names may look the same
        for row, (name, probability) in enumerate(classes):
            shown = f"{drawable(name, 32)} {probability:.0%}"
            right.text(0.02, row, shown, va="center", fontsize=7)
        right.set(xlim=(0, 1), xticks=[], yticks=[])
        right.invert_yaxis()
    return finished(figure)


def plot_strips(
    strips: Mapping[str, Sequence[np.ndarray]], titles: Sequence[str], *, num_frames: int = 7
) -> Figure:
    """One row a name: frames of each of its clips, side by side.

    Args:
        strips: clips, uint8 ``(T, H, W, C)``, of the same size.
        titles: of the columns.
    """
    figure = new_figure(7.5 * len(titles), 0.62 * len(strips) + 0.4)
    grid = figure.subplots(len(strips), len(titles), squeeze=False)
    for row, (name, clips) in zip(grid, strips.items(), strict=True):
        for axes, clip in zip(row, clips, strict=True):
            chosen = np.linspace(0, len(clip) - 1, num_frames).round().astype(int)
            strip = np.concatenate(central_crop(clip[chosen]), axis=1)
            if strip.shape[2] == 2:  # flow: a third colour that says nothing
                strip = np.dstack([strip, np.full_like(strip[..., 0], 128)])
            shown = strip if strip.shape[2] == 3 else strip[..., 0]
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(drawable(name), rotation=0, ha="right", va="center", fontsize=8)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(drawable(title), fontsize=9)
    return finished(figure)


def plot_corruptions(measured: Mapping[str, Sequence[Mapping[str, Sequence[float]]]]) -> Figure:
    """Top-1 against the strength of each corruption: a panel a corruption, a line a network.

    Args:
        measured: network → for each of its runs "clean", one value, and by corruption one for each
            of `STRENGTHS`, 0..1. Thick is the mean of the runs, thin each.
    """
    names = [n for runs in measured.values() for run in runs for n in run if n != "clean"]
    names = list(dict.fromkeys(names))
    columns = min(len(names), 6)
    rows = -(-len(names) // columns)
    width = 6.5 if len(names) == 1 else 3 * columns + 0.5
    figure = new_figure(width, (4 if len(names) == 1 else 2.4 * rows) + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    colours = matplotlib.color_sequences["tab10"]
    for axes, name in zip(grid, names, strict=False):
        steps, title = np.array([0.0, *STRENGTHS]), "strength"
        if name == "unfinished":
            steps, title = 100 * np.vectorize(share_seen)(steps), "seen of the clip, %"
        for number, (network, runs) in enumerate(measured.items()):
            lines = 100 * np.array([[*run["clean"], *run[name]] for run in runs if name in run])
            colour = colours[number % len(colours)]
            if len(lines) > 1:
                axes.plot(steps, lines.T, color=colour, linewidth=0.5, alpha=0.6)
            if len(lines):
                mean = lines.mean(axis=0)
                axes.plot(steps, mean, marker=".", color=colour, label=drawable(network))
        axes.set_title(drawable(name), fontsize=9)
        axes.set_xlabel(title, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in grid[::columns]:
        axes.set_ylabel("top-1, %", fontsize=8)
    grid[0].legend(fontsize=8)
    return finished(figure)


def central_crop(frames: np.ndarray) -> np.ndarray:
    """The middle of frames (T, H, W, C) whose long side is more than `LONGEST_FRAME` short ones."""
    crop = []
    for size in frames.shape[1:3]:
        kept = min(size, LONGEST_FRAME * min(frames.shape[1:3]))
        crop.append(slice((size - kept) // 2, (size - kept) // 2 + kept))
    return frames[:, crop[0], crop[1]]
