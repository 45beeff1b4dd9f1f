"""Recordings with their activities, as matplotlib figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure


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
    figure = Figure(figsize=(13, 2.4 * len(channels) + 0.6), layout="constrained")
    grid = figure.subplots(len(channels), 1, squeeze=False)[:, 0]
    for axes, title, signal, rate, row in zip(
        grid, titles, channels, rates_hz, stretches, strict=True
    ):
        seconds = np.arange(len(signal)) / rate
        axes.plot(seconds, signal[:, :9], color="0.25", linewidth=0.5, alpha=0.7)
        for start, stop, name, _ in row:
            axes.axvspan(start, stop, color=colours[name], alpha=0.45, linewidth=0)
        axes.set_title(title, fontsize=9, loc="left", pad=2)
        axes.set(xlim=(0, len(signal) / rate), yticks=[])
        axes.margins(x=0)
    grid[-1].set_xlabel("seconds")
    handles = [
        figure.axes[0].fill_between([], [], color=colours[name], alpha=0.45, label=name)
        for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8)
    return figure
