"""Gesture recognition in video, skeleton and inertial streams with PyTorch.

    from gesture3d import Classifier
    Classifier()("clip.mp4")  # → ranked classes with probabilities

Public names are imported on first use, so that importing the package costs nothing.
"""

import importlib
from typing import Any

_PUBLIC = {
    "Classifier": "gesture3d.inference.classifier",
    "ConvLSTM": "gesture3d.models.convlstm",
    "GestureNet": "gesture3d.models.gesture_net",
    "ResidualLSTM": "gesture3d.models.residual_lstm",
    "Gesture3dError": "gesture3d.errors",
    "Stream": "gesture3d.inference.stream",
    "load_experiment": "gesture3d.config",
    "load_model": "gesture3d.checkpoint",
    "train": "gesture3d.training.run",
}
__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gesture3d' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
