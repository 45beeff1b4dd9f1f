"""Recordings with their activities, as matplotlib figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gesture3d.viz.drawing import drawable, finished, new_figure

MOST_NAMES = 60  # in the legend


def plot_timelines(
    titles: Sequence[str],
    channels: Sequence[np.ndarray],
    rates_hz: Sequence[float],
    stretches: Sequence[Sequence[tuple[float, float, str, float]]],
) -> Figure:
    """One row a recording: its channels over time on a ground coloured by activity.

    Args:
        channels: (T, D) each; at most nine are drawn.
        stretches: for each recording (start s, stop s, activity, probability) in order of time.
    """
    names = sorted({name for row in stretches for _, _, name, _ in row})
    palette = colormaps["tab20"].colors
    colours = {name: palette[n % len(palette)] for n, name in enumerate(names)}
    figure = new_figure(13, 2.4 * len(channels) + 0.6)
    grid = figure.subplots(len(channels), 1, squeeze=False)[:, 0]
    for axes, title, signal, rate, row in zip(
        grid, titles, channels, rates_hz, stretches, strict=True
    ):
        samples, drawn = extremes(signal[:, :9])
        axes.plot(samples / rate, drawn, color="0.25", linewidth=0.5, alpha=0.7)
        whole_height = axes.get_xaxis_transform()
        for name in names:
            spans = [(start, stop - start) for start, stop, n, _ in row if n == name]
            ground = {"color": colours[name], "alpha": 0.45, "linewidth": 0}
            axes.broken_barh(spans, (0, 1), transform=whole_height, **ground)
        axes.set_title(drawable(title, 100), fontsize=9, loc="left", pad=2)
        axes.set(xlim=(0, len(signal) / rate), yticks=[])
        axes.margins(x=0)
    grid[-1].set_xlabel("seconds")
    handles = [Patch(color=colours[name], alpha=0.45) for name in names[:MOST_NAMES]]
    labels = [str(number) for number in range(len(handles))]  # one with "_" first is left out
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=6, fontsize=8)
    for text, name in zip(legend.get_texts(), names, strict=False):
        text.set_text(drawable(name, 25))
    if len(names) > len(handles):
        legend.set_title(f"the first {len(handles)} of {len(names)} activities")
    return finished(figure)


def extremes(signal: np.ndarray, count: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """A signal (T, D) as at most ``count`` points, which draw the same: the smallest and the
    largest value of equal stretches.

    Returns:
        The numbers of the samples (N,) and their values (N, D).
    """
    stretch = -(-2 * len(signal) // count)
    if stretch <= 2:
        return np.arange(len(signal)), signal
    starts = np.arange(0, len(signal), stretch)
    both = (np.minimum.reduceat(signal, starts), np.maximum.reduceat(signal, starts))
    return np.repeat(starts, 2), np.stack(both, axis=1).reshape(-1, signal.shape[1])
