"""Small real video files for tests: a bright square that moves in the direction of its class."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np

from gesture3d.data.index import Index, Item
from gesture3d.data.samples import Samples
from gesture3d.data.sets import Opened
from gesture3d.data.video.clips import ReadClip
from gesture3d.data.video.stream import VideoData
from gesture3d.rng import generator

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def square_clip(direction: str, seed: int, *, frames: int = 12, size: int = 32) -> np.ndarray:
    """``(T, H, W, 3)`` uint8."""
    rng = generator("square", direction, seed)
    dx, dy = DIRECTIONS[direction]
    clip = np.full((frames, size, size, 3), rng.integers(20, 80), np.uint8)
    for t in range(frames):
        s = 2 * t / (frames - 1) - 1
        x = size / 2 + dx * s * size / 3 + rng.normal(0, 0.3)
        y = size / 2 + dy * s * size / 3 + rng.normal(0, 0.3)
        cv2.circle(clip[t], (round(x), round(y)), size // 8, (230, 200, 180), -1)
    return clip


def write_clip(path: Path, clip: np.ndarray, *, fps: float = 12, fourcc: str = "mp4v") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = clip.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (width, height))
    assert writer.isOpened()
    for frame in clip:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def square_folder(root: Path, *, clips_per_class: int = 6, classes: int = 4) -> Path:
    """``root/<class>/<n>.mp4``."""
    for name in list(DIRECTIONS)[:classes]:
        for number in range(clips_per_class):
            write_clip(root / name / f"{number}.mp4", square_clip(name, number))
    return root


def copied(folder: Path, to: Path) -> Path:
    """The folder there, its files shared with the first."""
    return Path(shutil.copytree(folder, to, copy_function=os.link))


def tiny_settings(root: Path) -> list[str]:
    """Overrides that make a run on ``square_folder(root)`` take a second or two."""
    return [
        f"data.root={root}",
        "data.num_frames=8",
        "data.size=24",
        "data.cache_size=24",
        "data.validation_share=0.34",
        "model.width=0.03125",
        "train.epochs=3",
        "train.batch_size=4",
        "train.processes=1",
        "train.num_threads=1",
        "train.device=cpu",
    ]


def clip_samples(
    clips: list[Item],
    class_names: tuple[str, ...],
    data: VideoData,
    training: bool,
    seed: int = 0,
    *,
    cache: dict[str, np.ndarray] | None = None,
    **swaps: dict[str, str],
) -> Samples:
    """These clips as samples; ``swaps`` are ``mirror`` and ``reversal`` of an `Index`."""
    index = Index(class_names, clips, **swaps)
    return Samples(clips, class_names, Opened(index, ReadClip(data, index, cache)), training, seed)
