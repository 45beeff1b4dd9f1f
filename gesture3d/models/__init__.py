"""The networks. ``MODELS`` is the one place that maps a configuration's ``name`` to a class."""

from torch import nn

from gesture3d.models.cnn1d import Cnn1d
from gesture3d.models.deepgru import DeepGRU
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.gru import GRUNet
from gesture3d.models.r3d_18 import R3D18
from gesture3d.models.residual_lstm import ResidualLSTM
from gesture3d.models.sequence import Standardised

MODELS = {
    "gesture_net": GestureNet,
    "r3d_18": R3D18,
    "deepgru": DeepGRU,
    "gru": GRUNet,
    "residual_lstm": ResidualLSTM,
    "cnn1d": Cnn1d,
}
# The sequence networks' own names of the number of features and of classes.
SEQUENCE_ARGUMENTS = {
    "deepgru": ("n_features", "n_classes"),
    "gru": ("input_size", "output_size"),
    "residual_lstm": ("num_features", "num_classes"),
    "cnn1d": ("num_features", "num_classes"),
}


def build_model(config, num_classes: int, num_features: int | None = None) -> nn.Module:
    """The network that ``config`` describes: ``config.name`` picks the class, its other fields are
    that class's arguments.

    Args:
        num_features: of a frame, where the data is sequences; None for clips. Recurrent networks
            for skeletons come with their input's z-scores (`Standardised`), those for inertial
            windows bring their own (`InertialInputs`).
    """
    arguments = config.model_dump(exclude={"name"})
    if config.name not in SEQUENCE_ARGUMENTS:
        return MODELS[config.name](num_classes=num_classes, **arguments)
    features, classes = SEQUENCE_ARGUMENTS[config.name]
    model = MODELS[config.name](**arguments, **{features: num_features, classes: num_classes})
    return Standardised(model, num_features) if config.name in ("deepgru", "gru") else model
