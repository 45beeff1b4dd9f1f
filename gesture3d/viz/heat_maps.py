"""Pictures of an `Explanation`: a strip, the gates over time, an animation."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from gesture3d.files import atomic_path
from gesture3d.viz.drawing import drawable, finished, new_figure
from gesture3d.viz.explain import Explanation

CELL = 1.25  # inches
MOST_STEPS = 16  # columns of a strip


def plot_strip(explanation: Explanation, clip: np.ndarray, title: str) -> Figure:
    """One column a recurrent step: its frame, and below it each heat map over that frame.

    Each picture's colours go from 0 to its own largest values: they say where, not how much.

    Args:
        clip: the network's input, uint8 ``(T, C, H, W)``.
    """
    frames = explanation.step_frames
    steps = np.linspace(0, len(frames) - 1, min(len(frames), MOST_STEPS)).round().astype(int)
    frames = frames[steps]
    rows = {"input": _pictures(clip)[frames]}
    for name, heat in explanation.heat_maps().items():
        rows[name] = overlay(clip[frames], heat[frames])
    figure = new_figure(CELL * len(frames) + 1.5, CELL * len(rows) + 0.55)
    figure.set_layout_engine("compressed", w_pad=0.03, h_pad=0.015, wspace=0, hspace=0)
    figure.suptitle(drawable(title, 100), fontsize=9)
    grid = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    width = clip.shape[3]
    gap = -(-width // 24)
    for axis, (name, pictures) in zip(grid, rows.items(), strict=True):
        apart = np.pad(pictures, [(0, 0), (0, 0), (0, gap), (0, 0)], constant_values=1.0)
        _show(axis, np.concatenate(apart, axis=1)[:, :-gap])
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    middles = np.arange(len(frames)) * (width + gap) + (width - 1) / 2
    names = [
        f"step {step + 1}: frame {frame + 1}" for step, frame in zip(steps, frames, strict=True)
    ]
    grid[0].set_xticks(middles, names, fontsize=8)
    grid[0].tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, pad=3)
    return finished(figure)


def plot_gates(explanation: Explanation, title: str) -> Figure:
    """The mean activity of the input, forget and output gates of each layer over the steps."""
    layers, frames = explanation.gates, explanation.step_frames
    figure = new_figure(3.4 * len(layers) + 0.8, 3.0)
    figure.suptitle(drawable(title, 60), fontsize=9)
    grid = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
    steps = np.arange(1, len(frames) + 1)
    named = steps[:: -(-len(steps) // 6)]
    for axis, (layer, gates) in zip(grid, layers.items(), strict=True):
        for name, values in gates.items():
            axis.plot(steps, values, marker="o", markersize=3, label=f"{name} gate")
        axis.set_title(layer, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_xticks(named, [f"{step}\nframe {frames[step - 1] + 1}" for step in named])
        axis.set(ylim=(0, 1), xlabel="recurrent step")
        axis.grid(alpha=0.3)
    grid[0].set_ylabel("mean activity")
    grid[-1].legend(fontsize=8)
    return finished(figure)


def write_animation(path: Path, explanation: Explanation, clip: np.ndarray, title: str) -> None:
    """A GIF of the clip's frames beside every heat map, which flow from step to step.

    Args:
        clip: the network's input, uint8 ``(T, C, H, W)``.
    """
    from matplotlib.animation import PillowWriter

    panels = {"input": _pictures(clip)}
    heats = explanation.heat_maps()
    panels |= {name: overlay(clip, heat) for name, heat in heats.items()}
    figure = new_figure(1.6 * len(panels), 2.3)
    figure.suptitle(drawable(title, 100), fontsize=9)
    axes = figure.subplots(1, len(panels))
    images = [_show(axis, panel[0]) for axis, panel in zip(axes, panels.values(), strict=True)]
    for axis, name in zip(axes, panels, strict=True):
        axis.set_title(name, fontsize=8)
    axes[0].set_xlabel("frame", fontsize=8)
    finished(figure).draw_without_rendering()
    figure.set_layout_engine("none")  # it would lay out every frame anew
    writer = PillowWriter(fps=5)
    with atomic_path(path) as temporary, writer.saving(figure, str(temporary), dpi=80):
        for frame in range(len(clip)):
            for image, panel in zip(images, panels.values(), strict=True):
                image.set_data(panel[frame])
            axes[0].set_xlabel(f"frame {frame + 1} of {len(clip)}", fontsize=8)
            writer.grab_frame()


def overlay(clip: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Heat (T, H, W) over the frames of a clip (T, C, H, W) in grey: RGB (T, H, W, 3), 0 … 1."""
    grey = _pictures(clip).mean(-1, keepdims=True)
    top = np.quantile(heat, 0.99, axis=(1, 2), keepdims=True)  # single pixels may be far above
    level = np.minimum(heat / np.maximum(top, 1e-12), 1)
    colour = colormaps["inferno"](level)[..., :3]
    opacity = 0.8 * level[..., None] ** 0.7
    return (1 - opacity) * grey + opacity * colour


def _pictures(clip: np.ndarray) -> np.ndarray:
    """A clip (T, C, H, W) as RGB (T, H, W, 3), 0 … 1; of optical flow, the horizontal part."""
    channels = clip if clip.shape[1] == 3 else clip[:, :1].repeat(3, axis=1)
    return channels.transpose(0, 2, 3, 1) / 255


def _show(axis, picture: np.ndarray):
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
    return axis.imshow(np.clip(picture, 0, 1), interpolation="bicubic")
