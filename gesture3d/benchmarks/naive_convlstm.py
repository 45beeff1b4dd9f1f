"""The recurrent layer as one would first write it: cell by cell, everything at every step; and the
whole network with such layers.

Plain PyTorch in its default memory order (NCHW), on the parameters of a `ConvLSTM`: the measure
of what `gesture3d/models/convlstm.py` gains. Equation numbers are the paper's, as there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.gesture_net import GestureNet

Parameters = dict[str, Tensor]


class NaiveNetwork(nn.Module):
    """``net`` in PyTorch's default memory order, its recurrent layers as naive loops."""

    def __init__(self, net: GestureNet):
        super().__init__()
        self.net = net

    def forward(self, clips: Tensor) -> Tensor:
        net = self.net
        x = net.preprocessing(clips, net.classifier.weight.dtype).contiguous()
        x = net.res3d(x).transpose(1, 2)
        for layer in net.recurrent:
            x = naive_sequence(layer, x.contiguous())
        return net.top_layers(x.contiguous())


def naive_sequence(layer: ConvLSTM, x: Tensor, *, concatenate: bool = False) -> Tensor:
    """The hidden sequence (B, T, C, H, W) of x (B, T, Cin, H, W) from a state of zeros.

    ``concatenate``, for the original cell: one convolution of X and H in one map, the common form.
    """
    p = {name.removeprefix("cell."): value for name, value in layer.named_parameters()}
    step = concatenated_step if concatenate else STEPS[layer.variant]
    batch, _, _, height, width = x.shape
    h = c = x.new_zeros(batch, layer.hidden_channels, height, width)
    sequence = []
    for t in range(x.shape[1]):
        h, c = step(p, x[:, t], h, c)
        sequence.append(h)
    return torch.stack(sequence, 1)


def update(i: Tensor, f: Tensor, o: Tensor, g: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    c = f * c + i * g  # (5)
    return o * torch.tanh(c), c  # (6)


def convolve(p: Parameters, name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), padding="same")


def separable(p: Parameters, name: str, x: Tensor) -> Tensor:
    depthwise = p[f"{name}.depthwise.weight"]
    x = F.conv2d(x, depthwise, padding="same", groups=len(depthwise))
    return F.conv2d(x, p[f"{name}.pointwise.weight"], p.get(f"{name}.pointwise.bias"))


def transition(p: Parameters, name: str, x: Tensor, h: Tensor) -> Tensor:
    return separable(p, f"{name}.input", x) + separable(p, f"{name}.hidden", h)


def pooled_gates(p: Parameters, x: Tensor, h: Tensor, number: int) -> tuple[Tensor, ...]:
    z = F.linear(x.mean((2, 3)), p["pooled_gates.input.weight"], p["pooled_gates.input.bias"])
    z = z + F.linear(h.mean((2, 3)), p["pooled_gates.hidden.weight"])
    return torch.sigmoid(z)[:, :, None, None].chunk(number, dim=1)  # (10)-(12)


def original_step(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, o, g = (convolve(p, "input", x) + convolve(p, "hidden", h)).chunk(4, dim=1)
    return update(i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh(), c)  # (1)-(4)


def concatenated_step(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    kernel = torch.cat([p["input.weight"], p["hidden.weight"]], dim=1)
    z = F.conv2d(torch.cat([x, h.to(x.dtype)], dim=1), kernel, p["input.bias"], padding="same")
    i, f, o, g = z.chunk(4, dim=1)
    return update(i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh(), c)


def step_a(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, o = pooled_gates(p, x, h, 3)
    return update(i, f, o, torch.tanh(transition(p, "candidate", x, h)), c)  # (13)


def step_b(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    z = convolve(p, "attention.score", torch.tanh(transition(p, "attention.transition", x, h)))
    attention = z.flatten(1).softmax(dim=1).view(z.shape)  # (17), (18)
    return step_a(p, attention * x, h, c)


def channel_attention(p: Parameters, x: Tensor, h: Tensor) -> Tensor:
    z = separable(p, "attention.score", torch.tanh(transition(p, "attention.transition", x, h)))
    return torch.exp(z - z.amax((2, 3), keepdim=True))  # (21)-(23)


def step_c(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    f, o = pooled_gates(p, x, h, 2)
    i = channel_attention(p, x, h)
    return update(i, f, o, torch.tanh(transition(p, "candidate", x, h)), c)


def step_d(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f = pooled_gates(p, x, h, 2)
    o = channel_attention(p, x, h)
    return update(i, f, o, torch.tanh(transition(p, "candidate", x, h)), c)


STEPS = {"convlstm": original_step, "a": step_a, "b": step_b, "c": step_c, "d": step_d}
