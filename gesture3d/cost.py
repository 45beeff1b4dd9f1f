"""What a network costs: parameters, multiply-adds (the true ones and the paper's), time.

``count_cost`` counts what a network really computes; how the paper counts is said in `paper`.
"""

import contextlib
import copy
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gesture3d import paper
from gesture3d.config import ModelConfig
from gesture3d.evaluation.predict import score
from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.res3d import scaled_channels


class BlockCost(NamedTuple):
    """One block of a network."""

    block: str
    parameters: int
    multiply_adds: int  # of all convolutions and matrix products in one forward pass


def count_cost(model: nn.Module, *example_inputs: Tensor) -> list[BlockCost]:
    """The cost of each of the model's blocks on these inputs, and of all in a last row ``total``.

    Blocks are the model's children (those of a ``ModuleList`` one by one) that have parameters; of
    a model that wraps another one, the other one's.
    Of clips nothing is computed: a copy of the model runs on shapes alone, so it takes a moment for
    any size. Of sequences (B, T, D) the steps are many and small: computing them takes a tenth of
    that. Model and inputs are left as they are. Element-wise work (activations, gates times states)
    is not counted.
    """
    device = "cpu" if example_inputs[0].ndim == 3 else "meta"
    model = copy.deepcopy(model).eval().to(device)
    inputs = [example.to(device) for example in example_inputs]
    with _without_onednn(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}

    rows = []
    for name, block in _blocks(model):
        block_flops = flops.get(f"{type(model).__name__}.{name}", 0)
        name = name.rpartition("network.")[2]
        rows.append(BlockCost(name, _parameters(block), block_flops // 2))
    rows = [row for row in rows if row.parameters]
    return [*rows, BlockCost("total", _parameters(model), flops.get("Global", 0) // 2)]


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    """Its LSTM is a single operation, whose products the counter does not see."""
    onednn = torch.backends.mkldnn
    before, onednn.enabled = onednn.enabled, False
    try:
        yield
    finally:
        onednn.enabled = before


def count_cost_of_one(model: nn.Module, sample: Tensor, batch_size: int = 32) -> list[BlockCost]:
    """The cost of one clip or sequence (1, …) in a batch, as evaluation runs them.

    (Parallel LSTMs compute a single sequence with many zeros, because that is faster.)
    """
    rows = count_cost(model, sample.repeat_interleave(batch_size, dim=0))
    return [row._replace(multiply_adds=row.multiply_adds // batch_size) for row in rows]


def _blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in model.named_children():
        if name == "network":  # a wrapped model
            yield from ((f"network.{inner}", block) for inner, block in _blocks(child))
        elif isinstance(child, nn.ModuleList):
            for number, block in enumerate(child):
                yield f"{name}.{number}", block
        else:
            yield name, child


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.inference_mode()
def clips_per_second(
    model: nn.Module, inputs: Tensor, lengths: Tensor | None = None, seconds: float = 0.5
) -> float:
    """How many samples the network classifies in a second, in batches like this one.

    The network alone, after one unmeasured batch: no reading and no decoding. Runs for about
    ``seconds``, at least once.
    """

    def run() -> None:
        score(model, inputs, lengths)
        if inputs.is_cuda:
            torch.cuda.synchronize()

    model.eval()
    run()
    batches, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds or not batches:
        run()
        batches += 1
    return batches * len(inputs) / passed


class RecurrentCost(NamedTuple):
    """A ConvLSTM layer: multiply-adds of a step, the true ones and as the paper counts them."""

    block: str
    variant: str
    parameters: int  # without biases, as the paper counts
    multiply_adds: int
    paper_multiply_adds: int


def recurrent_costs(
    config: ModelConfig, shape: tuple[int, ...], rows: list[BlockCost]
) -> list[RecurrentCost]:
    """The ConvLSTM layers of a network, a step on maps of one clip; empty where it has none.

    Args:
        shape: (T, C, H, W) of the clip that ``rows`` were counted on.
    """
    if not config.recurrent_layers:
        return []
    strides = (2 * stride for stride in config.stem_stride)  # of the front end
    clip_size = shape[0], *shape[2:]
    steps, height, width = (-(-n // s) for n, s in zip(clip_size, strides, strict=True))
    channels = scaled_channels(256, config.width)
    sizes = (channels, channels, config.kernel_size)
    total = {row.block: row.multiply_adds for row in rows}
    found = []
    for number, variant in enumerate(config.recurrent_layers):
        parameters = paper.parameters(variant, *sizes) or _layer_parameters(variant, *sizes)
        paper_count = paper.multiply_adds(parameters, height, width)
        step = total[block := f"recurrent.{number}"] // steps
        found.append(RecurrentCost(block, variant, parameters, step, paper_count))
    return found


def _layer_parameters(
    variant: str, in_channels: int, hidden_channels: int, kernel_size: int
) -> int:
    """Of a ConvLSTM layer without its biases, counted in the layer itself."""
    with torch.device("meta"):
        layer = ConvLSTM(in_channels, hidden_channels, kernel_size, variant)
    return sum(p.numel() for name, p in layer.named_parameters() if not name.endswith("bias"))
