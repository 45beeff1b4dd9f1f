"""Batch norms folded into the convolutions before them: the same network with less to do."""

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.res3d import ResidualBlock

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """A copy of a trained network for inference, in which no batch norm directly follows a
    convolution: ``γ (w * x - μ) / √(σ² + ε) + β`` is a convolution with other weights and a bias.

    Scores are those of ``model`` to rounding; the parameters' names and shapes are not. Norms that
    use the batch's own statistics stay.
    """
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        for conv_name, norm_name in _followed(module):
            conv, norm = getattr(module, conv_name), getattr(module, norm_name)
            is_pair = isinstance(conv, Convolution) and isinstance(norm, BatchNorm)
            if is_pair and norm.running_mean is not None:
                _fold(conv, norm)
                setattr(module, norm_name, nn.Identity())
    return model


def in_bf16(model: GestureNet) -> GestureNet:
    """The same network with everything between preprocessing and classifier in bf16, and what the
    recurrent layers carry in fp32: where a processor computes in bf16 itself, about twice as fast
    in batches. Scores move in the third digit."""
    for name, part in model.named_children():
        if name not in ("preprocessing", "classifier"):
            part.bfloat16()
    return model


def _followed(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of children whose output is the input of another, and of that."""
    if isinstance(module, nn.Sequential):
        yield from itertools.pairwise(dict(module.named_children()))
    elif isinstance(module, ResidualBlock):
        yield from (("conv1", "bn1"), ("conv2", "bn2"))


@torch.no_grad()
def _fold(conv: Convolution, norm: BatchNorm) -> None:
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    factor = (variance + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * norm.weight.double()
    offset = -mean * factor if conv.bias is None else (conv.bias.double() - mean) * factor
    if norm.affine:
        offset = offset + norm.bias.double()
    weight = conv.weight.double() * factor.view(-1, *[1] * (conv.weight.dim() - 1))
    conv.weight = nn.Parameter(weight.to(conv.weight), requires_grad=False)
    conv.bias = nn.Parameter(offset.to(conv.weight), requires_grad=False)
