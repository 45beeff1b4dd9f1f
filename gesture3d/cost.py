"""What a network costs: parameters and multiply-adds, the true ones and the paper's.

The paper (Zhang et al., "Attention in Convolutional LSTM for Gesture Recognition", NeurIPS 2018)
states the multiply-adds of a recurrent layer's step as its parameters × 28 × 28, which charges the
pooled fully-connected gates at every pixel although they run once a map. ``paper_multiply_adds``
reproduces those numbers, ``count_cost`` counts what a network really computes.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class BlockCost(NamedTuple):
    """One block of a network."""

    block: str
    parameters: int
    multiply_adds: int  # of all convolutions and matrix products in one forward pass


def count_cost(model: nn.Module, *example_inputs: Tensor) -> list[BlockCost]:
    """The cost of each of the model's blocks on these inputs, and of all in a last row ``total``.

    Blocks are the model's children (those of a ``ModuleList`` one by one) that have parameters.
    Nothing is computed: a copy of the model runs on shapes alone, so it takes a moment for any
    size, and model and inputs are left as they are. Element-wise work (activations, gates times
    states) is not counted.
    """
    model = copy.deepcopy(model).eval().to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*(example.to("meta") for example in example_inputs))
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}

    rows = []
    for name, block in _blocks(model):
        block_flops = flops.get(f"{type(model).__name__}.{name}", 0)
        rows.append(BlockCost(name, _parameters(block), block_flops // 2))
    rows = [row for row in rows if row.parameters]
    return [*rows, BlockCost("total", _parameters(model), flops.get("Global", 0) // 2)]


def _blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            for number, block in enumerate(child):
                yield f"{name}.{number}", block
        else:
            yield name, child


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def paper_parameters(
    variant: str, in_channels: int = 256, hidden_channels: int = 256, kernel_size: int = 3
) -> int:
    """Parameters of a recurrent layer without its biases: equations (7), (16), (20), (24).

    ``variant`` is one of convlstm, a, b, c, d; another raises KeyError.
    """
    k2, c_in, c_out = kernel_size**2, in_channels, hidden_channels
    variant_a = (k2 + c_out * 4) * (c_in + c_out)  # (16)
    variant_c = variant_a + k2 * (c_in + c_out * 2) + c_out * c_out  # (24)
    return {
        "convlstm": k2 * (c_in + c_out) * c_out * 4,  # (7)
        "a": variant_a,
        "b": variant_a + k2 * (c_in + c_out * 2) + (c_in + c_out) * c_out,  # (20)
        "c": variant_c,
        "d": variant_c,
    }[variant]


def paper_multiply_adds(
    variant: str,
    in_channels: int = 256,
    hidden_channels: int = 256,
    kernel_size: int = 3,
    height: int = 28,
    width: int = 28,
) -> int:
    """The paper's "Mult-Adds" of one step of a recurrent layer: parameters × height × width."""
    return paper_parameters(variant, in_channels, hidden_channels, kernel_size) * height * width
