"""The networks. ``MODELS`` is the one place that maps a configuration's ``name`` to a class."""

from gesture3d.models.cnn1d import Cnn1d
from gesture3d.models.deepgru import DeepGRU
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.gru import GRUNet
from gesture3d.models.network import Network
from gesture3d.models.r3d_18 import R3D18
from gesture3d.models.residual_lstm import ResidualLSTM
from gesture3d.models.templates import Templates

MODELS: dict[str, type[Network]] = {
    "gesture_net": GestureNet,
    "r3d_18": R3D18,
    "deepgru": DeepGRU,
    "gru": GRUNet,
    "residual_lstm": ResidualLSTM,
    "cnn1d": Cnn1d,
    "templates": Templates,
}


def build_model(config, num_classes: int, num_features: int | None = None) -> Network:
    """The network that ``config`` describes: ``config.name`` picks the class, which builds itself.

    Args:
        num_features: of a step, where the data is sequences; None for clips.
    """
    return MODELS[config.name].build(config, num_classes, num_features)
