"""Ways around the recurrent layers and the blocks above them."""

import numpy as np
import pytest
import torch
from torch import nn

from gesture3d.models.mobilenet import SeparableBlock
from tests.models.test_gesture_net import make_clips, make_net, scores_of


@pytest.mark.parametrize("variants", [("a", "a"), ("c", "convlstm")])
def test_the_way_around_a_recurrent_layer_is_a_sum(variants):
    net, clips = make_net(variants=variants, recurrent_skip=True).double(), make_clips()
    for parameter in [*net.recurrent_norms.parameters(), *net.recurrent_gains]:
        nn.init.normal_(parameter)
    net.train()(clips)  # moves the running statistics
    net.eval()
    x = net.res3d(net.preprocessing(clips, torch.float64)).transpose(1, 2)
    for layer, norm, gain in zip(
        net.recurrent, net.recurrent_norms, net.recurrent_gains, strict=True
    ):
        mean, std = (
            norm.running_mean.view(-1, 1, 1),
            (norm.running_var + 1e-5).sqrt().view(-1, 1, 1),
        )
        normed = (x - mean) / std * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
        x = x + gain * layer(normed)[0]
    torch.testing.assert_close(net(clips), net.top_layers(x))


@pytest.mark.parametrize(("stride", "more", "side"), [(1, 0, 5), (1, 8, 4), (2, 0, 5), (2, 8, 4)])
def test_the_way_around_a_top_block_is_a_sum(stride, more, side):
    """Against numpy in float64: the mean of each window, channels filled up with zeros."""
    torch.manual_seed(0)
    block = SeparableBlock(8, 8 + more, stride, skip=True).double().eval()
    without = SeparableBlock(8, 8 + more, stride).double().eval()
    without.load_state_dict(block.state_dict())
    without[-1] = nn.Identity()
    x = torch.randn(3, 8, side, side, dtype=torch.float64)
    kept = x.numpy().copy()
    out = -(-side // stride)
    added = np.zeros((3, 8 + more, out, out))
    for i in range(out):
        for j in range(out):
            window = kept[:, :, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
            added[:, :8, i, j] = window.mean((2, 3))
    expected = np.clip(without(x).detach().numpy() + added, 0, 6)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=0, atol=1e-12)
    assert np.array_equal(x.numpy(), kept)


def test_ways_around_the_top_blocks_have_no_parameters():
    assert make_net(top_skip=True).state_dict().keys() == make_net().state_dict().keys()


def test_a_network_with_ways_around_begins_as_one_without_layers():
    net, clips = make_net(recurrent_skip=True), make_clips()
    without = make_net(variants=())
    without.load_state_dict(net.state_dict(), strict=False)
    x = net.res3d(net.preprocessing(clips, torch.float32)).transpose(1, 2)
    added = sum(net.recurrent_layer(n, x)[0] - x for n in range(2))
    assert 0 < added.norm() < 0.2 * x.norm()
    assert scores_of(net, clips).argmax(1).equal(scores_of(without, clips).argmax(1))
