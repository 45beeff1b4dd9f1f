"""The networks. ``MODELS`` is the one place that maps a configuration's ``name`` to a class."""

from torch import nn

from gesture3d.models.gesture_net import GestureNet

MODELS = {"gesture_net": GestureNet}


def build_model(config, num_classes: int) -> nn.Module:
    """The network that ``config`` describes: ``config.name`` picks the class, its other fields are
    that class's arguments.
    """
    return MODELS[config.name](num_classes=num_classes, **config.model_dump(exclude={"name"}))
