"""Generated streams: continuous videos of one performer each, with every gesture's start and end.

    root/
      rgb/<split>-<number>.mp4      176×100, 12 frames a second, 30 to 60 seconds
      depth/<split>-<number>.mp4    the same frames in depth
      joints/<split>-<number>.npy   float32 (T, 21, 3): the hand's joints in every frame
      train.csv                     path,label,start,end of every gesture, seconds, in order
      validation.csv, test.csv      the same
      generation.json               the settings, written first
      dataset.json                  settings, performers, gestures; written last

What is performed: see `gesture3d.synthetic.performance`. Depth and joints are as those of the clips
(`gesture3d.synthetic.generate`), and so are the people of each split: those of training,
validation and test are different ones.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event, write_events
from gesture3d.files import atomic_path
from gesture3d.rng import generator
from gesture3d.synthetic.folder import make_missing, make_once, write_video
from gesture3d.synthetic.generate import (
    GENERATOR_VERSION,
    NUM_PERFORMERS,
    checked_counts,
    num_performers,
)
from gesture3d.synthetic.motion import Motion
from gesture3d.synthetic.performance import perform_stream
from gesture3d.synthetic.performer import Performer, draw_performer
from gesture3d.synthetic.render import render
from gesture3d.synthetic.scene import draw_scene, held_frames, passers_by

STREAMS_VERSION = 1
"""Raised whenever the same settings begin to give other streams, and the clips stay the same."""

NUM_STREAMS = MappingProxyType({"train": 300, "validation": 40, "test": 60})
SECONDS = (30.0, 52.0)
"""What has begun then is still done, which takes up to eight seconds."""

_FOLDERS = ("rgb", "depth", "joints")


@dataclass(frozen=True)
class _Stream:
    """One stream to be made, which depends on all of this."""

    split: str
    index: int
    seed: int
    hard: bool
    num_streams: int

    @property
    def key(self) -> str:
        return f"{self.split}-{self.index:04d}"

    @property
    def performer(self) -> int:
        """Counts the performers of the split."""
        people = num_performers(self.split, self.num_streams)
        order = generator(self.seed, self.split, "stream performers").permutation(people)
        return int(order[self.index % people])

    def perform(self) -> tuple[Performer, Motion, list[Event]]:
        performer = draw_performer(
            generator(self.seed, "performer", self.split, self.performer), self.hard
        )
        rng = generator(self.seed, self.split, "stream", self.index)
        return performer, *perform_stream(performer, rng, rng.uniform(*SECONDS))


def generate_streams(
    root: Path,
    *,
    num_streams: Mapping[str, int] = NUM_STREAMS,
    hard: bool | Literal["mixed"] = False,
    seed: int = 0,
    num_workers: int | None = None,
    progress: bool = True,
) -> None:
    """Make the streams in ``root``, unless they are already there with the same settings.

    As `gesture3d.synthetic.generate.generate`, with so many streams of each split.

    Raises Gesture3dError where ``root`` holds a set with other settings, or other files.
    """
    root = Path(root)
    settings = {
        "generator_version": GENERATOR_VERSION,
        "streams_version": STREAMS_VERSION,
        "seed": seed,
        "hard": hard,
        "num_streams": checked_counts(num_streams, "num_streams"),
    }

    def make() -> dict:
        streams = [
            _Stream(split, index, seed, index % 2 == 1 if hard == "mixed" else hard, count)
            for split, count in settings["num_streams"].items()
            for index in range(count)
        ]
        make_missing(root, streams, _make, _is_made, "streams", num_workers, progress, least=2)
        return _write_lists(root, streams)

    make_once(root, settings, _FOLDERS, make)


def performers_of(root: Path) -> dict[str, str]:
    """The person of each stream by the name of its file, without suffix.

    Raises:
        Gesture3dError: dataset.json is damaged.
    """
    try:
        said = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        return {key: str(stream["performer"]) for key, stream in said["streams"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Gesture3dError(
            f"{root / 'dataset.json'} is damaged; delete {root} to start anew."
        ) from None


def _paths(root: Path, stream: _Stream) -> list[Path]:
    suffixes = {"joints": "npy"}
    return [root / f / f"{stream.key}.{suffixes.get(f, 'mp4')}" for f in _FOLDERS]


def _is_made(root: Path, stream: _Stream) -> bool:
    return all(path.exists() for path in _paths(root, stream))


def _make(root: Path, stream: _Stream) -> None:
    """Perform, render and write one stream."""
    performer, motion, _ = stream.perform()
    num_frames = len(motion.joints)
    rng = generator(stream.seed, stream.split, "stream", stream.index, "scene", int(stream.hard))
    if stream.hard:
        motion = motion.at(held_frames(rng, num_frames))
    scene = draw_scene(rng, performer, motion, stream.hard)
    if stream.hard:
        scene = replace(scene, passers=passers_by(rng, num_frames))
    colour, depth = render(motion, performer, scene, rng)
    video_path, depth_path, joints_path = _paths(root, stream)
    with atomic_path(joints_path) as temporary, temporary.open("wb") as file:
        np.save(file, motion.joints.astype(np.float32))
    write_video(depth_path, np.repeat(depth[..., None], 3, axis=-1))
    write_video(video_path, colour)


def _write_lists(root: Path, streams: list[_Stream]) -> dict:
    """The csv files, and what ``dataset.json`` says of the streams."""
    performed = {stream.key: stream.perform()[2] for stream in streams}
    for split in NUM_PERFORMERS:
        keys = [stream.key for stream in streams if stream.split == split]
        if keys:
            write_events(root / f"{split}.csv", {f"rgb/{key}.mp4": performed[key] for key in keys})
    return {
        "streams": {
            stream.key: {
                "split": stream.split,
                "performer": f"{stream.split}-{stream.performer}",
                "hard": stream.hard,
                "gestures": len(performed[stream.key]),
            }
            for stream in streams
        }
    }
