"""The operations that networks are exported in have the same numbers as those that they replace."""

import numpy as np
import pytest
import torch
from torch import nn

from gesture3d.config import load_experiment
from gesture3d.export.traced import ProductGRU, ProductLSTM, StepModel
from gesture3d.models import build_model
from gesture3d.models.conv3d import CausalConv3d
from gesture3d.models.online import Carried
from gesture3d.models.parallel_lstm import ParallelLSTM


def as_products(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    module.__class__ = kind
    return module


@pytest.mark.parametrize("steps", [1, 9])
@torch.no_grad()
def test_a_gru_is_its_products(steps: int) -> None:
    torch.manual_seed(0)
    gru = nn.GRU(4, 5, 2, batch_first=True).double()
    x, state = torch.randn(3, steps, 4).double(), torch.randn(2, 3, 5).double()
    expected = [gru(x), gru(x, state)]
    products = as_products(gru, ProductGRU)
    for found, wanted in zip([products(x), products(x, state)], expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_lstms_side_by_side_are_their_products() -> None:
    torch.manual_seed(0)
    lstm = ParallelLSTM(3, 4, 5).double()
    x = torch.randn(7, 3, 4, 2).double()
    expected = lstm(x)
    found = as_products(lstm, ProductLSTM)(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((3, 3, 3), (1, 1, 1)),
        ((3, 3, 3), (2, 2, 2)),
        ((3, 7, 7), (5, 2, 2)),
        ((1, 1, 1), (2, 2, 2)),
    ],
)
@torch.no_grad()
def test_frames_as_channels_are_a_3d_convolution(kernel: tuple, stride: tuple) -> None:
    """Against a float64 sum over the kernel, at one place of the output."""
    torch.manual_seed(0)
    padding = tuple(size // 2 for size in kernel)
    conv = CausalConv3d(4, 5, kernel, stride, padding, bias=True).double()
    x = torch.randn(2, 4, 10, 9, 8).double()
    found = []
    for conv.in_2d in (False, True):
        carried = Carried([torch.randn(2, 4, conv.past_frames, 9, 8).double() * 0 + 1])
        found.append(conv(x, carried))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)
    past = np.ones((2, 4, conv.past_frames, 9, 8))
    frames = np.concatenate([past, x.numpy()], 2)
    end = conv.past_frames + 2 * stride[0]  # of the second result, behind its newest frame
    covered = frames[:, :, end - kernel[0] : end]
    sides = [(0, 0)] * 3 + [(size, size) for size in padding[1:]]
    covered = np.pad(covered, sides)[..., stride[1] : stride[1] + kernel[1], : kernel[2]]
    expected = np.einsum("bcthw,dcthw->bd", covered, conv.weight.numpy()) + conv.bias.numpy()
    np.testing.assert_allclose(found[1][:, :, 1, 1, 0], expected, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "data"), [("gru", "sfinge3d"), ("deepgru_small", "sfinge3d"), ("lstm", "hapt")]
)
@torch.no_grad()
def test_steps_of_sequences_carry_their_state(name: str, data: str) -> None:
    torch.manual_seed(0)
    model = build_model(load_experiment(name, data, ["model.causal=true"]).model, 3, 6)
    model.double().eval()
    stream = torch.randn(2, 40, 6).double()
    step, state, found = StepModel(model, 2.0), model.initial_state(2), []
    for number in range(40):
        scores, *state = step(stream[:, number : number + 1], *state)
        found.append(2.0 * scores)
    expected = model.step_scores(stream)
    assert expected.std(1).min() > 1e-4
    torch.testing.assert_close(torch.stack(found, 1), expected, rtol=1e-10, atol=1e-10)
