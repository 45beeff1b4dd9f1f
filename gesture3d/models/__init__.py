"""The networks. ``MODELS`` is the one place that maps a configuration's ``name`` to a class."""

from torch import nn

from gesture3d.config import SEQUENCE_MODELS
from gesture3d.models.cnn1d import Cnn1d
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.residual_lstm import ResidualLSTM

MODELS = {"gesture_net": GestureNet, "residual_lstm": ResidualLSTM, "cnn1d": Cnn1d}


def build_model(config, num_classes: int, num_features: int | None = None) -> nn.Module:
    """The network that ``config`` describes: ``config.name`` picks the class, its other fields are
    that class's arguments.

    Args:
        num_features: of a step, where the data is sequences; None for clips.
    """
    arguments = config.model_dump(exclude={"name"})
    if config.name in SEQUENCE_MODELS:
        arguments["num_features"] = num_features
    return MODELS[config.name](num_classes=num_classes, **arguments)
