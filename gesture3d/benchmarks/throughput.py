"""What training on Jester takes: steps of the network by batch size, and the cores that feed it."""

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d.benchmarks.network import Benchmark
from gesture3d.benchmarks.tables import Row
from gesture3d.config import load_experiment
from gesture3d.cost import count_cost
from gesture3d.data.index import Index, Item
from gesture3d.data.video.clips import ReadClip
from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.gesture_net import GestureNet
from gesture3d.rng import generator

JESTER_TRAINING_CLIPS = 118_562


def throughput(
    benchmark: Benchmark, variants: list[str], batches: list[int], frames: int, size: int
) -> list[Row]:
    """Training steps (SGD) by batch size, plain, compiled, and as CUDA graphs where there are such:
    clips/s, the share of the highest rate in `Benchmark.limits`, the recurrent layers' share of the
    time, the minutes of an epoch on Jester's training split, and how many cores feed it."""
    if not benchmark.peak_rate:
        benchmark.limits()
    modes: dict[str, dict | None] = {"plain": None, "compiled": {}}
    if benchmark.device.type == "cuda":
        modes["CUDA graphs"] = {"mode": "reduce-overhead"}
    rows = []
    for batch, (name, options) in itertools.product(batches, modes.items()):
        row: Row = {"clips a step": batch, "network": name}
        try:
            shape = (batch, frames, 3, size, size)
            row |= _training_row(benchmark, variants, shape, options)
        except torch.OutOfMemoryError:
            row["memory, MB"] = "too little"
        rows.append(row)
    return rows


def _training_row(
    benchmark: Benchmark, variants: list[str], shape: tuple, options: dict | None
) -> Row:
    torch._dynamo.reset()
    net = GestureNet(27, variants=variants).to(benchmark.device).train()
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, device=benchmark.device)
    multiply_adds = count_cost(net, clips[:1])[-1].multiply_adds
    inputs = benchmark.block_inputs(net, clips)["recurrent.0"]
    optimizer = torch.optim.SGD(net.parameters(), 1e-6)

    def prepare(module: nn.Module) -> Callable:
        return module if options is None else torch.compile(module, **options)

    network, recurrent = prepare(net), prepare(nn.Sequential(*map(_Hidden, net.recurrent)))

    def step() -> None:
        with benchmark.autocast():
            scores = network(clips)
        scores.float().logsumexp(1).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    def recurrent_part() -> None:
        with benchmark.autocast():
            hidden = recurrent(inputs.detach().requires_grad_())
        hidden.float().sum().backward()

    memory = benchmark.peak_memory(step)
    times = benchmark.measure({"step": step, "recurrent layers": recurrent_part})
    seconds = {name: statistics.median(found) for name, found in times.items()}
    clips_per_second = len(clips) / seconds["step"]
    return {
        "step, ms": 1000 * seconds["step"],
        "clips/s": clips_per_second,
        "share of the peak": 6 * multiply_adds * clips_per_second / benchmark.peak_rate,
        "recurrent share": seconds["recurrent layers"] / seconds["step"],
        "memory, MB": memory,
        "Jester epoch, min": JESTER_TRAINING_CLIPS / clips_per_second / 60,
        "cores to feed it": clips_per_second * seconds_to_load(*shape[1::2]),
    }


class _Hidden(nn.Module):
    """A recurrent layer's hidden sequence alone."""

    def __init__(self, layer: ConvLSTM):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def seconds_to_load(frames: int, size: int, count: int = 30) -> float:
    """That one core takes for a training clip of the Jester recipe, from decoded frames."""
    data = load_experiment("variant_a", "jester").data
    data = data.model_copy(update={"num_frames": frames, "size": size})
    decoded = np.random.default_rng(0).integers(0, 256, (37, 112, 197, 3), np.uint8)
    mirror = {} if data.augmentation.horizontal_flip else None
    clip = Item("0", 0, Path())
    read = ReadClip(data, Index(("0",), [clip], mirror=mirror), {"0": decoded})
    started = time.process_time()
    for epoch in range(count):
        read(clip, generator(0, epoch, clip.key))
    return (time.process_time() - started) / count
