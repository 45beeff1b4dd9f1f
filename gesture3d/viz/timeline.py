"""Recordings with their activities, and streams with their events, as matplotlib figures."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gesture3d.events import Event
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
    colours = _colours(name for row in stretches for _, _, name, _ in row)
    figure = new_figure(13, 2.4 * len(channels) + 0.6)
    grid = figure.subplots(len(channels), 1, squeeze=False)[:, 0]
    for axes, title, signal, rate, row in zip(
        grid, titles, channels, rates_hz, stretches, strict=True
    ):
        samples, drawn = extremes(signal[:, :9])
        axes.plot(samples / rate, drawn, color="0.25", linewidth=0.5, alpha=0.7)
        whole_height = axes.get_xaxis_transform()
        for name in colours:
            spans = [(start, stop - start) for start, stop, n, _ in row if n == name]
            ground = {"color": colours[name], "alpha": 0.45, "linewidth": 0}
            axes.broken_barh(spans, (0, 1), transform=whole_height, **ground)
        axes.set_title(drawable(title, 100), fontsize=9, loc="left", pad=2)
        axes.set(xlim=(0, len(signal) / rate), yticks=[])
        axes.margins(x=0)
    grid[-1].set_xlabel("seconds")
    _name_colours(figure, colours, "activities", alpha=0.45)
    return finished(figure)


def plot_events(
    titles: Sequence[str],
    lengths: Sequence[float],
    truth: Sequence[Sequence[Event] | None],
    found: Sequence[Sequence[Event]],
) -> Figure:
    """One row a stream: what is annotated above, what was found below, coloured by class, with a
    mark where it was decided; the axis names which of these there are.

    Args:
        lengths: of the streams, seconds.
        truth: None where nothing is known.
    """
    sides = [[side for side in pair if side is not None] for pair in zip(truth, found, strict=True)]
    colours = _colours(event.label for pair in sides for side in pair for event in side)
    figure = new_figure(13, 0.75 * len(titles) + 1.0)
    grid = figure.subplots(len(titles), 1, squeeze=False)[:, 0]
    for axes, title, length, lanes in zip(grid, titles, lengths, sides, strict=True):
        for lane, events in enumerate(reversed(lanes)):
            for event in events:
                span = [(event.start, event.end - event.start)]
                axes.broken_barh(span, (lane, 0.9), color=colours[event.label], linewidth=0)
                if event.decided is not None:
                    axes.plot([event.decided] * 2, [lane, lane + 0.9], color="black", linewidth=1)
        axes.set_title(drawable(title, 100), fontsize=8, loc="left", pad=1)
        axes.set(xlim=(0, length), ylim=(0, len(lanes)), yticks=[])
    is_known = any(side is not None for side in truth)
    is_timed = any(event.decided is not None for events in found for event in events)
    said = ["seconds"]
    said += ["truth above, found below"] * is_known + ["a line where it was decided"] * is_timed
    grid[-1].set_xlabel("; ".join(said))
    _name_colours(figure, colours, "classes")
    return finished(figure)


def plot_thresholds(
    by_threshold: Mapping[float, Mapping[str, float]],
    chosen: Mapping[str, float],
    at: Collection[float],
) -> Figure:
    """What is found by other thresholds: detections against false events, and both with what else
    matters against the threshold.

    Args:
        by_threshold: threshold of all classes → the measures by their names.
        chosen: the same as it was decided, by thresholds ``at``: marked.
    """
    figure = new_figure(11, 4)
    left, right = figure.subplots(1, 2)
    levels = list(by_threshold)
    names = ("SHREC'22 false positives", "SHREC'22 detection rate")
    rates = [[values[name] for name in names] for values in by_threshold.values()]
    left.plot(*zip(*rates, strict=True), marker=".")
    for level, rate in list(zip(levels, rates, strict=True))[::3]:
        left.annotate(f"{level:g}", rate, textcoords="offset points", xytext=(5, -9), fontsize=7)
    star = {"marker": "*", "markersize": 13, "color": "tab:red", "linestyle": ""}
    left.plot(*(chosen[name] for name in names), label="as decided", **star)
    left.set(xlabel="false events a gesture (SHREC'22)", ylabel="share of the gestures detected")
    left.set(ylim=(0, 1.02))
    left.legend(loc="lower right")
    for name in (names[1], "Levenshtein accuracy", "F1@0.5", "repeats caught"):
        right.plot(levels, [max(v[name], 0) for v in by_threshold.values()], label=name)
    for name in ("latency", "false alarms a minute"):
        right.plot(levels, [v[name] for v in by_threshold.values()], "--", label=name)
    for level in set(at):
        right.axvline(level, color="tab:red", linewidth=0.8)
    right.set(xlabel="threshold (a line where it is)", ylim=(0, 1.5))
    right.legend(fontsize=8, ncols=2, loc="upper left")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return finished(figure)


def _colours(names: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """Different ones for `MOST_NAMES` names."""
    palette = [c for name in ("tab20", "tab20b", "tab20c") for c in colormaps[name].colors]
    return {name: palette[n % len(palette)] for n, name in enumerate(sorted(set(names)))}


def _name_colours(figure: Figure, colours: dict[str, tuple], what: str, alpha: float = 1) -> None:
    """A legend of the first `MOST_NAMES` colours; none where there are none."""
    if not colours:
        return
    names = list(colours)[:MOST_NAMES]
    handles = [Patch(color=colours[name], alpha=alpha) for name in names]
    labels = [str(number) for number in range(len(handles))]  # one with "_" first is left out
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=6, fontsize=8)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(drawable(name, 25))
    if len(colours) > len(names):
        legend.set_title(f"the first {len(names)} of {len(colours)} {what}")


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
