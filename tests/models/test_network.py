"""What every network says of itself, to be used without asking which one it is."""

import pytest
import torch

from gesture3d.config import ModelConfig
from gesture3d.config.experiment import kind_name, union_members
from gesture3d.errors import Gesture3dError
from gesture3d.models import MODELS, build_model

KINDS = union_members(ModelConfig)
SMALL = {
    "gesture_net": {"width": 0.03125},
    "r3d_18": {"width": 0.03125},
    "deepgru": {"dims": {"gru1": 4, "gru2": 4, "gru3": 4, "fc": 4}},
    "gru": {"hidden_size": 4},
    "residual_lstm": {"hidden": 4},
    "cnn1d": {"widths": [4]},
    "templates": {"num_templates": 4, "num_frames": 5},
}
SHAPES = {"clips": (2, 4, 3, 16, 16), "sequences": (2, 5, 6)}


@pytest.fixture(params=KINDS, ids=kind_name)
def config(request):
    name = kind_name(request.param)
    return request.param(name=name, **SMALL[name])


def build(config):
    return build_model(config, 3, None if config.reads == "clips" else SHAPES["sequences"][2])


def test_every_network_has_settings() -> None:
    assert MODELS.keys() == {kind_name(kind) for kind in KINDS}


def test_a_network_is_what_its_settings_say(config) -> None:
    model = build(config).eval()
    assert model.reads == config.reads
    assert hasattr(model, "gradient_checkpointing") == config.can_recompute
    assert model.explainable == (config.name == "gesture_net")
    assert model.get_submodule(model.head).out_features == 3
    inputs = torch.randint(0, 99, SHAPES[config.reads]).float()
    model.check(inputs.shape)
    assert model(inputs).shape == (2, 3)


def test_inputs_of_other_channels_are_refused_before_they_are_there(config) -> None:
    shape = (2, 4, 5, 16, 16) if config.reads == "clips" else (2, 5, 7)
    model = build(config).eval()
    for use in (model.check, lambda shape: model(torch.zeros(shape))):
        with pytest.raises((ValueError, Gesture3dError), match=r"\b(5 channels|7)\b"):
            use(shape)


def test_only_trained_networks_of_sequences_learn_their_inputs(config) -> None:
    model = build(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.fit_inputs(torch.rand(4, 50, 6) + 7)
    changed = {n: v for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert {name.removeprefix("inputs.") for name in changed} == (
        set() if config.reads == "clips" or config.name == "templates" else {"mean", "std"}
    )
    for name, value in changed.items():
        expected = 7.5 if name.endswith("mean") else 12**-0.5  # of a uniform distribution
        torch.testing.assert_close(value, torch.full((6,), expected), atol=0.1, rtol=0)


def test_one_process_waits_for_no_other(config) -> None:
    with build(config).no_sync():
        pass
