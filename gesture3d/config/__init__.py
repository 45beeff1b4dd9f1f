"""An experiment as typed, validated data.

The sections of settings: `models` (networks), `experiment` (optimiser, loop, the whole); those of
data sets stand beside their readers, in ``gesture3d/data/*/sets/``. `reading` makes an `Experiment`
of files and overrides.
"""

from gesture3d.config.experiment import (
    DataConfig,
    Experiment,
    OptimConfig,
    TrainConfig,
)
from gesture3d.config.models import (
    ClipNetworkConfig,
    Cnn1dConfig,
    DeepGRUConfig,
    DeepGRUDims,
    GestureNetConfig,
    GRUConfig,
    InertialInputsConfig,
    ModelConfig,
    R3D18Config,
    ResidualLSTMConfig,
    Variant,
)
from gesture3d.config.reading import (
    dump_experiment,
    find_config,
    load_data,
    load_experiment,
    read_settings,
    validate_experiment,
    with_overrides,
)

__all__ = [
    "ClipNetworkConfig",
    "Cnn1dConfig",
    "DataConfig",
    "DeepGRUConfig",
    "DeepGRUDims",
    "Experiment",
    "GRUConfig",
    "GestureNetConfig",
    "InertialInputsConfig",
    "ModelConfig",
    "OptimConfig",
    "R3D18Config",
    "ResidualLSTMConfig",
    "TrainConfig",
    "Variant",
    "dump_experiment",
    "find_config",
    "load_data",
    "load_experiment",
    "read_settings",
    "validate_experiment",
    "with_overrides",
]
