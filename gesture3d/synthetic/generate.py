"""A generated stand-in for the Jester data set, in Jester's own layout.

    root/
      jester-v1-labels.csv            the 27 labels, official order, one a line
      jester-v1-train.csv             id;label, as in the official lists
      jester-v1-validation.csv        id;label
      jester-v1-test.csv              id alone, as in the official list
      jester-v1-test-labels.csv       id;label, which Jester itself does not publish
      20bn-jester-v1/<id>.mp4         176×100, 12 frames a second, 28 to 44 frames
      depth/<id>.mp4                  the same frames in depth, see below
      joints/<id>.npy                 float32 (T, 21, 3): the hand's joints in every frame
      generation.json                 the settings, written first
      dataset.json                    settings, performers, counts, clips; written last

Joints are in metres in the camera's axes: x to the right of the image, y down, z away from the
camera; wrist, then four joints each for thumb, index, middle, ring and little finger. A joint is
at pixel (88, 50) + 132 · (x, y) / z of its frame, except where the camera shakes.

Depth is grey: g = 127.5 · (2.25 − z) for z in metres, clipped to 1 … 255, so near is bright; 0 is
background. Only the performing hand and arm have depth, good to about five centimetres.

Directions (left, right, clockwise) are the performer's, as in Jester: "Swiping Left" goes to the
right edge of the frame, for either hand.

The performers of training, validation and test are different people; those of training are 40, or
more where there are many clips. The clips of a split depend on the seed and on their own number
alone, not on the other splits. A folder without ``dataset.json`` is an unfinished set: generating
again completes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.files import atomic_path, write_text
from gesture3d.rng import generator
from gesture3d.synthetic.folder import make_missing, make_once, write_video
from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.motion import perform
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import (
    CENTRE,
    FOCAL_LENGTH,
    SUPERSAMPLING,
    draw_scene,
    few_frames,
)

GENERATOR_VERSION = 2
"""Raised whenever the same settings begin to give other clips."""

LABELS = tuple(GESTURES)
NUM_PERFORMERS = MappingProxyType({"train": 40, "validation": 12, "test": 12})
"""At the least, see `num_performers`."""
CLIPS_PER_CLASS = MappingProxyType({"train": 60, "validation": 8, "test": 8})

_VIDEOS, _DEPTH, _JOINTS = "20bn-jester-v1", "depth", "joints"
_NUM_JESTER_IDS = 148_092


@dataclass(frozen=True)
class _Clip:
    """One clip to be made. Its content depends on all of this but the id."""

    id: int
    split: str
    label: str
    index: int
    """Counts the clips of this label and split."""
    performer: int
    """Counts the performers of this split."""
    seed: int
    hard: bool


def generate(
    root: Path,
    *,
    clips_per_class: Mapping[str, int] = CLIPS_PER_CLASS,
    hard: bool | Literal["mixed"] = False,
    seed: int = 0,
    num_workers: int | None = None,
    progress: bool = True,
) -> None:
    """Make the data set in ``root``, unless it is already there with the same settings.

    ``clips_per_class`` gives the clips per class of train, validation and test; ``hard`` puts
    cluttered, moving backgrounds, unsteady light and a moving, poor camera around the same
    gestures, "mixed" does so in every second clip of a class.
    The same settings give the same files, whatever ``num_workers`` (processes; default: one a
    core). An unfinished set is completed.

    Raises Gesture3dError where ``root`` holds a set with other settings, or other files.
    """
    root = Path(root)
    settings = {
        "generator_version": GENERATOR_VERSION,
        "seed": seed,
        "hard": hard,
        "clips_per_class": checked_counts(clips_per_class, "clips_per_class"),
    }

    def make() -> dict:
        clips = _plan(settings)
        make_missing(root, clips, _make_clip, _is_made, "clips", num_workers, progress, least=20)
        _write_lists(root, clips, seed)
        return _index(clips)

    make_once(root, settings, (_VIDEOS, _DEPTH, _JOINTS), make)


def num_performers(split: str, count: int) -> int:
    """How many people perform ``count`` clips of each class of a split; in training at least two
    for every three clips of a class."""
    grows = split == "train"
    return max(NUM_PERFORMERS[split], -(-2 * count // 3) if grows else 0)


def joints_of(root: Path, key: str) -> np.ndarray:
    """The joints of the clip ``key`` in every frame, in metres: (T, 21, 3)."""
    return np.load(Path(root) / _JOINTS / f"{key}.npy")


def video_of(root: Path, key: str) -> Path:
    """The video of the clip ``key``."""
    return Path(root) / _VIDEOS / f"{key}.mp4"


def joint_pixels(joints: np.ndarray) -> np.ndarray:
    """Where joints (…, 3) are in their frame, (…, 2): x and y in pixels, not rounded."""
    return (CENTRE + FOCAL_LENGTH * joints[..., :2] / joints[..., 2:]) / SUPERSAMPLING


def checked_counts(counts: Mapping[str, int], what: str) -> dict[str, int]:
    """Counts of all splits, 0 where none is given; an error names the setting ``what``."""
    for split, count in counts.items():
        if split not in NUM_PERFORMERS:
            raise Gesture3dError(
                f"{what}: no split is called {split!r}; splits are "
                f"{', '.join(NUM_PERFORMERS)}.{did_you_mean(split, NUM_PERFORMERS)}"
            )
        if not isinstance(count, int) or count < 0:
            raise Gesture3dError(f"{what}: {split} is {count!r}, not a whole number ≥ 0.")
    return {split: counts.get(split, 0) for split in NUM_PERFORMERS}


def _plan(settings: dict) -> list[_Clip]:
    """All clips of the set, split by split and class by class."""
    seed, hard = settings["seed"], settings["hard"]
    clips = []
    for part, split in enumerate(NUM_PERFORMERS):
        count = settings["clips_per_class"][split]
        total = len(LABELS) * count
        # Ids of different splits have different remainders.
        numbers = max(_NUM_JESTER_IDS // len(NUM_PERFORMERS), 10 * total)
        drawn = generator(seed, "ids", split).choice(numbers, size=total, replace=False)
        ids = iter(len(NUM_PERFORMERS) * drawn + part + 1)
        people = num_performers(split, count)
        for label in LABELS:
            order = generator(seed, split, label, "performers").permutation(people)
            for index in range(count):
                performer = int(order[index % people])
                is_hard = index % 2 == 1 if hard == "mixed" else hard
                clips.append(_Clip(int(next(ids)), split, label, index, performer, seed, is_hard))
    return clips


def _paths(root: Path, clip: _Clip) -> tuple[Path, Path, Path]:
    return (
        root / _JOINTS / f"{clip.id}.npy",
        root / _DEPTH / f"{clip.id}.mp4",
        root / _VIDEOS / f"{clip.id}.mp4",
    )


def _is_made(root: Path, clip: _Clip) -> bool:
    return all(path.exists() for path in _paths(root, clip))


def _make_clip(root: Path, clip: _Clip) -> None:
    """Perform, render and write one clip. Every random choice depends on the clip alone."""
    performer = draw_performer(
        generator(clip.seed, "performer", clip.split, clip.performer), clip.hard
    )
    address = (clip.seed, clip.split, clip.label, clip.index)
    motion = perform(clip.label, performer, generator(*address, "motion"))
    rng = generator(*address, "scene", int(clip.hard))
    if clip.hard:
        motion = motion.at(few_frames(rng, len(motion.joints)))
    scene = draw_scene(rng, performer, motion, clip.hard)
    colour, depth = render(motion, performer, scene, rng)
    joints_path, depth_path, video_path = _paths(root, clip)
    with atomic_path(joints_path) as temporary, temporary.open("wb") as file:
        np.save(file, motion.joints.astype(np.float32))
    write_video(depth_path, np.repeat(depth[..., None], 3, axis=-1))
    write_video(video_path, colour)


def _write_lists(root: Path, clips: list[_Clip], seed: int) -> None:
    """The csv files, in random order as the official ones are."""
    write_text(root / "jester-v1-labels.csv", "".join(f"{label}\n" for label in LABELS))
    for split in NUM_PERFORMERS:
        chosen = [clip for clip in clips if clip.split == split]
        order = generator(seed, split, "list").permutation(len(chosen))
        labelled = "".join(f"{chosen[i].id};{chosen[i].label}\n" for i in order)
        if split == "test":
            write_text(root / "jester-v1-test.csv", "".join(f"{chosen[i].id}\n" for i in order))
            write_text(root / "jester-v1-test-labels.csv", labelled)
        else:
            write_text(root / f"jester-v1-{split}.csv", labelled)


def _index(clips: list[_Clip]) -> dict:
    """What ``dataset.json`` says of the clips."""
    performers = {
        split: [
            f"{split}-{number}"
            for number in sorted({c.performer for c in clips if c.split == split})
        ]
        for split in NUM_PERFORMERS
    }
    return {
        "num_clips": len(clips),
        "performers": performers,
        "clips": {
            str(clip.id): {
                "label": clip.label,
                "split": clip.split,
                "performer": f"{clip.split}-{clip.performer}",
                "hard": clip.hard,
            }
            for clip in clips
        },
    }
