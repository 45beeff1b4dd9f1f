"""Untrained networks of every stream; their scores differ from file to file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.events import NO_GESTURE
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model, mobilenet
from gesture3d.models.res3d import Res3D
from gesture3d.rng import generator

NAMES = ["wave", "nod", NO_GESTURE]
DECISION = checkpoint.OnlineDecision({"wave": 0.4, "nod": 0.4}, 0.1)


def untrained(
    folder: Path, model: str, data: str, features: int | None, *settings: str
) -> Classifier:
    """For the classes drink and wave, its weights in ``folder``."""
    experiment = load_experiment(model, data, [f"data.root={folder}", *settings])
    torch.manual_seed(0)
    network = build_model(experiment.model, 2, features)
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), ["drink", "wave"], {}, num_features=features
    )
    checkpoint.save(folder / "w.safetensors", network.state_dict(), description)
    return Classifier(folder / "w.safetensors", device="cpu")


def few_blocks(patch: pytest.MonkeyPatch) -> None:
    """In networks of video that are not wide: a block of each kind, most are the same once more."""

    def init(self, *args, **options) -> None:
        whole(self, *args, **options)
        del self.stage1[0], self.stage2[1], self.stage3[:]

    whole = Res3D.__init__
    patch.setattr(Res3D, "__init__", init)
    patch.setattr(mobilenet, "BLOCKS", ((512, 2),))


def network(folder: Path, model: str, data: str, num_features: int | None, *settings: str):
    """For streams: untrained, but sure of what it says."""
    experiment = load_experiment(model, data, [f"data.root={folder}", *settings])
    torch.manual_seed(1)
    built = build_model(experiment.model, 3, num_features)
    head = built.get_submodule(built.head)
    with torch.no_grad():
        head.weight.mul_(60)
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), NAMES, {}, num_features=num_features, online=DECISION
    )
    checkpoint.save(folder / "w.safetensors", built.state_dict(), description)
    return Classifier(folder / "w.safetensors", device="cpu")


def small_video_network(folder: Path) -> Classifier:
    small = ["model.width=0.0625", "data.size=24", "data.cache_size=24"]
    return network(folder, "variant_a", "stream_folder", None, *small)


def ninety_frames(path: Path) -> Path:
    """At 45 a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 45, (64, 48))
    rng = generator("video")
    for number in range(90):
        picture = rng.integers(0, 60, (48, 64, 3)).astype(np.uint8)
        cv2.circle(picture, (32 + int(20 * np.sin(number / 9)), 24), 8, (255, 255, 255), -1)
        writer.write(picture)
    writer.release()
    return path
