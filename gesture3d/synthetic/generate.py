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

import contextlib
import functools
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.files import atomic_path, locked, write_text
from gesture3d.machine import num_cores
from gesture3d.rng import generator
from gesture3d.synthetic.gestures import GESTURES
from gesture3d.synthetic.motion import perform
from gesture3d.synthetic.performer import draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import (
    CENTRE,
    FOCAL_LENGTH,
    HEIGHT,
    SUPERSAMPLING,
    WIDTH,
    draw_scene,
    few_frames,
)

GENERATOR_VERSION = 2
"""Raised whenever the same settings begin to give other clips."""

LABELS = tuple(GESTURES)
NUM_PERFORMERS = MappingProxyType({"train": 40, "validation": 12, "test": 12})
"""At the least, see `num_performers`."""
CLIPS_PER_CLASS = MappingProxyType({"train": 60, "validation": 8, "test": 8})
FPS = 12.0

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
        "clips_per_class": _checked(clips_per_class),
    }
    if _is_finished(root, settings):
        return
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / ".lock"):
        if _is_finished(root, settings):  # another process was faster
            return
        _begin_or_continue(root, settings)
        clips = _plan(settings)
        try:
            _make_clips(root, clips, num_workers, progress)
        finally:
            _remove_half_written(root)
        _write_lists(root, clips, seed)
        _write_index(root, clips, settings)


def num_performers(split: str, count: int) -> int:
    """How many people perform ``count`` clips of each class of a split; in training at least two
    for every three clips of a class."""
    grows = split == "train"
    return max(NUM_PERFORMERS[split], -(-2 * count // 3) if grows else 0)


def joints_of(root: Path, key: str) -> np.ndarray:
    """The joints of the clip ``key`` in every frame, in metres: (T, 21, 3)."""
    return np.load(Path(root) / _JOINTS / f"{key}.npy")


def joint_pixels(joints: np.ndarray) -> np.ndarray:
    """Where joints (…, 3) are in their frame, (…, 2): x and y in pixels, not rounded."""
    return (CENTRE + FOCAL_LENGTH * joints[..., :2] / joints[..., 2:]) / SUPERSAMPLING


def _checked(clips_per_class: Mapping[str, int]) -> dict[str, int]:
    for split, count in clips_per_class.items():
        if split not in NUM_PERFORMERS:
            raise Gesture3dError(
                f"clips_per_class: no split is called {split!r}; splits are "
                f"{', '.join(NUM_PERFORMERS)}.{did_you_mean(split, NUM_PERFORMERS)}"
            )
        if not isinstance(count, int) or count < 0:
            raise Gesture3dError(f"clips_per_class: {split} is {count!r}, not a whole number ≥ 0.")
    return {split: clips_per_class.get(split, 0) for split in NUM_PERFORMERS}


def _is_finished(root: Path, settings: dict) -> bool:
    """Whether the whole set is there; an error where there is one with other settings."""
    for name in ("dataset.json", "generation.json"):
        try:
            found = json.loads((root / name).read_text(encoding="utf-8"))
            found = {key: found.get(key) for key in settings}
        except FileNotFoundError:
            continue
        except (ValueError, AttributeError, RecursionError):
            raise Gesture3dError(
                f"{root / name} is damaged; delete {root} to start anew."
            ) from None
        if found != settings:
            differences = ", ".join(
                f"{key} is {found[key]}, asked for {settings[key]}"
                for key in settings
                if found[key] != settings[key]
            )
            older = found["generator_version"] != settings["generator_version"]
            what = "of another version of the generator" if older else "with other settings"
            raise Gesture3dError(
                f"{root} holds a generated data set {what} ({differences}): choose another "
                f"folder (data.root), or delete this one and it is generated anew."
            )
        return name == "dataset.json"
    return False


def _begin_or_continue(root: Path, settings: dict) -> None:
    """Note the settings before the first clip, so that an unfinished set can be told apart."""
    note = root / "generation.json"
    if note.exists():
        _remove_half_written(root)
        return
    others = [path for path in root.iterdir() if path.name != ".lock"]
    if others:
        raise Gesture3dError(
            f"{root} is not empty and holds no generated data set ({others[0].name}, ...): "
            f"choose an empty folder."
        )
    write_text(note, json.dumps(settings, indent=1) + "\n")


def _remove_half_written(root: Path) -> None:
    for folder in (_VIDEOS, _DEPTH, _JOINTS):
        for path in (root / folder).glob(".*"):
            path.unlink(missing_ok=True)


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


def _make_clips(root: Path, clips: list[_Clip], num_workers: int | None, progress: bool) -> None:
    """Make what is missing: here, or in worker processes where that pays."""
    missing = [clip for clip in clips if not _is_made(root, clip)]
    done = len(clips) - len(missing)
    if missing and progress:
        print(f"{root}: generating {len(missing)} clips, once")
    # None: a bar on terminals only
    hide = None if progress else True
    bar = tqdm(total=len(clips), initial=done, desc="generating clips", disable=hide)
    workers = min(num_workers or num_cores(), -(-len(missing) // 20))
    with bar:
        if workers <= 1:
            for clip in missing:
                _make_clip(root, clip)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
        try:
            with _hidden_main():  # the processes start here
                made = pool.map(functools.partial(_make_clip, root), missing, chunksize=4)
            for _ in made:
                bar.update()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Workers would import the running script anew, and with it all it imports; they need none."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker() -> None:
    """One thread; leave Ctrl-C to the parent; end with the parent, however it ends."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sentinel = multiprocessing.parent_process().sentinel

    def end_with_parent() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


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
    _write_video(depth_path, np.repeat(depth[..., None], 3, axis=-1))
    _write_video(video_path, colour)


def _write_video(path: Path, frames: np.ndarray) -> None:
    """Write BGR frames (T, H, W, 3)."""
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    with atomic_path(path) as temporary:
        writer = cv2.VideoWriter(str(temporary), codec, FPS, (WIDTH, HEIGHT))
        if not writer.isOpened():
            raise Gesture3dError(f"OpenCV cannot write {path}: its build lacks the mp4v codec.")
        for frame in frames:
            writer.write(frame)
        writer.release()
        # OpenCV does not say when the disk is full.
        written = int(cv2.VideoCapture(str(temporary)).get(cv2.CAP_PROP_FRAME_COUNT))
        if written != len(frames):
            raise Gesture3dError(f"{path}: could not be written whole; is the disk full?")


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


def _write_index(root: Path, clips: list[_Clip], settings: dict) -> None:
    """``dataset.json``, which makes the set a whole one."""
    performers = {
        split: [
            f"{split}-{number}"
            for number in sorted({c.performer for c in clips if c.split == split})
        ]
        for split in NUM_PERFORMERS
    }
    index = {
        **settings,
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
    write_text(root / "dataset.json", json.dumps(index, indent=1) + "\n")
