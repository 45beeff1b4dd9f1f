"""Untrained networks of every stream; their scores differ from file to file."""

from pathlib import Path

import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model


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
