"""The networks. ``MODELS`` is the one place that maps a configuration's ``name`` to a class."""

from torch import nn

from gesture3d.models.deepgru import DeepGRU
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.gru import GRUNet
from gesture3d.models.sequence import Standardised

MODELS = {"gesture_net": GestureNet, "deepgru": DeepGRU, "gru": GRUNet}
# The sequence networks' own names of the number of features and of classes.
SEQUENCE_ARGUMENTS = {
    "deepgru": ("n_features", "n_classes"),
    "gru": ("input_size", "output_size"),
}


def build_model(config, num_classes: int, num_features: int | None = None) -> nn.Module:
    """The network that ``config`` describes: ``config.name`` picks the class, its other fields are
    that class's arguments.

    Args:
        num_features: of a frame, where the data is sequences; None for clips. A sequence network
            comes with its input's z-scores (`Standardised`).
    """
    arguments = config.model_dump(exclude={"name"})
    if config.name not in SEQUENCE_ARGUMENTS:
        return MODELS[config.name](num_classes=num_classes, **arguments)
    features, classes = SEQUENCE_ARGUMENTS[config.name]
    arguments |= {features: num_features, classes: num_classes}
    return Standardised(MODELS[config.name](**arguments), num_features)
