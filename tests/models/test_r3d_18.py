"""torchvision's r3d_18 behind our preprocessing."""

import copy
import pickle

import pytest
import torch
from torchvision.models.video import r3d_18

from gesture3d.config import load_experiment
from gesture3d.models import build_model
from gesture3d.models.conv3d import SafeConv3d
from gesture3d.models.r3d_18 import R3D18


def clips(batch: int = 2, frames: int = 8, channels: int = 3, size: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, frames, channels, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("preprocessing", ["channel_mean", "clip_mean"])
def test_scores_are_torchvisions_on_the_normalised_clip(preprocessing):
    torch.manual_seed(0)
    theirs = r3d_18(num_classes=5).eval()
    ours = R3D18(5, preprocessing=preprocessing, pixel_scale=32.0).eval()
    ours.network.load_state_dict(theirs.state_dict())
    x = clips().double()  # (B, T, C, H, W)
    means = torch.tensor([114.0, 109.0, 104.0]).view(3, 1, 1)
    x = (x - (means if preprocessing == "channel_mean" else x.mean(1, keepdim=True))) / 32
    with torch.no_grad():
        expected = theirs(x.float().transpose(1, 2))
        torch.testing.assert_close(ours(clips()), expected, rtol=1e-4, atol=1e-4)


def test_starts_from_torchvisions_initial_weights():
    torch.manual_seed(3)
    theirs = r3d_18(num_classes=4).state_dict()
    ours = R3D18(4).network.state_dict()
    assert ours.keys() == theirs.keys()
    name = "layer3.0.conv1.0.weight"
    assert ours[name].std().item() == pytest.approx(theirs[name].std().item(), rel=0.01)


def test_width_scales_every_convolution_and_stem_stride_the_maps():
    full, quarter = r3d_18(num_classes=5), R3D18(5, width=0.25, stem_stride=(2, 3, 3)).eval()
    shapes = {k: tuple(v.shape) for k, v in quarter.network.state_dict().items()}
    expected = {}
    for name, tensor in full.state_dict().items():
        out, *inputs = tensor.shape or [0]
        inputs[:1] = [n if n in (1, 3) else n // 4 for n in inputs[:1]]
        expected[name] = (out // 4, *inputs) if tensor.shape else ()
    expected["fc.weight"] = (5, 128)
    expected["fc.bias"] = (5,)
    assert shapes == expected
    sizes = []
    quarter.network.stem.register_forward_hook(lambda *call: sizes.append(call[2].shape))
    with torch.no_grad():
        assert quarter(clips(2, 16, 3, 48)).shape == (2, 5)
    assert sizes == [(2, 16, 8, 16, 16)]


def test_recipes_give_it_their_width_channels_and_preprocessing():
    model = build_model(load_experiment("r3d_18", "synthetic_depth").model, num_classes=3).eval()
    assert model.network.stem[0].weight.shape == (16, 1, 3, 7, 7)
    assert isinstance(model.network.stem[0], SafeConv3d)
    with torch.no_grad():
        assert model(clips(channels=1)).shape == (2, 3)
    assert model.preprocessing.mode == "clip_mean"
    with pytest.raises(ValueError, match="3 channels, the network takes 1"):
        model(clips())


def test_gradients_are_right_in_bf16_on_maps_of_two_frames():
    """16 frames are 2 in the last layers, where oneDNN's own bf16 gradient is wrong."""
    torch.manual_seed(0)
    model = R3D18(3, pixel_scale=64.0).eval()
    weight = model.network.layer4[1].conv2[0].weight
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            scores = model(clips(1, 16, 3, 32))
        (gradient,) = torch.autograd.grad(scores.square().sum(), weight)
        gradients.append(gradient)
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert error < 0.1


def test_can_be_copied_and_pickled():
    model = R3D18(3, width=1 / 8).eval()
    with torch.no_grad():
        expected = model(clips())
        for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(same(clips()), expected)
