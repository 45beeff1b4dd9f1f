"""What the paper's recipes need on many GPUs: data-parallel training, simulated from rates.

Each GPU has its loader, as `gesture3d.data.loader`: so many processes, each of which makes whole
batches in turn and runs at most four ahead; a clip's decoding time is drawn from a log-normal
distribution. A step begins when the slowest GPU has its batch, and ends when all have computed it
and the gradients are added up (in a ring, behind the backward pass as far as that lasts).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gesture3d.evaluation.report import markdown_table
from gesture3d.files import write_text
from gesture3d.rng import generator

AHEAD = 4  # batches that a loading process makes before the first is taken
STEPS = 400  # that are simulated, after as many that fill the loaders
GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Recipe:
    """Attributes:
    clips, epochs, batch: of the training; the batch is the total one.
    macs: multiply-adds of the forward pass of a clip.
    parameters: of the network.
    megabytes: of a stored clip.
    """

    name: str
    clips: int
    epochs: int
    batch: int
    macs: float
    parameters: float
    megabytes: float


# Multiply-adds and parameters: tools/benchmark.py cost --cfg variant_a, twice for twice the frames.
# Jester's archives have 22.8 GB; IsoGD's clips are taken to be as large.
RECIPES = (
    Recipe("Jester", 118_562, 30, 16, 77.1e9, 12.29e6, 22.8e3 / 148_092),
    Recipe("IsoGD", 35_878, 15, 8, 154.2e9, 12.29e6, 0.154),
)


@dataclass(frozen=True)
class Rates:
    """Attributes:
    flops: a GPU's in training, sustained.
    step_seconds: of a step, whatever the batch: launches, the optimiser.
    decoded: clips a second of one core; spread: of their times, deviation / mean.
    cores: that load, a GPU.
    inside, between: bytes a second of the all-reduce in a machine, and between machines.
    latency: seconds of each of its hops.
    gpus: in a machine.
    """

    flops: float = 50e12
    step_seconds: float = 0.03
    decoded: float = 180.0
    spread: float = 0.5
    cores: int = 8
    inside: float = 150e9
    between: float = 10e9
    latency: float = 20e-6
    gpus: int = 8


@dataclass(frozen=True)
class Estimate:
    """Attributes:
    hours: of all epochs, without evaluation.
    waiting: share of the time in which GPUs wait for clips.
    efficiency: of one GPU's speed, a GPU.
    cores: that a GPU's loader needs to keep it busy.
    disk: megabytes a second that all loaders read together.
    network: megabytes a second in and out of each machine.
    """

    gpus: int
    hours: float
    waiting: float
    efficiency: float
    cores: float
    disk: float
    network: float


def all_reduce_seconds(gpus: int, num_bytes: float, rates: Rates) -> float:
    """Of a ring over all GPUs; its slowest link sets the pace."""
    if gpus == 1:
        return 0.0
    pace = rates.inside if gpus <= rates.gpus else rates.between
    return 2 * (gpus - 1) / gpus * num_bytes / pace + 2 * (gpus - 1) * rates.latency


def compute_seconds(batch: float, recipe: Recipe, rates: Rates) -> float:
    """Of forward and backward passes of a batch: three times the forward pass."""
    return rates.step_seconds + 3 * 2 * recipe.macs * batch / rates.flops


def simulate(recipe: Recipe, gpus: int, rates: Rates) -> tuple[float, float]:
    """Seconds a step, and how many of them GPUs wait for clips.

    Args:
        recipe: with the total batch, at least one clip a GPU.
    """
    batch = recipe.batch / gpus
    compute = compute_seconds(batch, recipe, rates)
    reduce = all_reduce_seconds(gpus, 4 * recipe.parameters, rates)
    step = compute + max(reduce - 2 / 3 * (compute - rates.step_seconds), 0.0)
    rng = generator("scale", recipe.name, gpus)
    sigma = math.sqrt(math.log1p(rates.spread**2 / max(batch, 1)))  # of a batch's mean
    times = batch / rates.decoded * rng.lognormal(-(sigma**2) / 2, sigma, (2 * STEPS, gpus))
    free = np.zeros((rates.cores, gpus))
    taken = np.zeros(2 * STEPS)
    now, waited = 0.0, np.zeros(2 * STEPS)
    for k in range(2 * STEPS):
        room = taken[k - AHEAD * rates.cores] if k >= AHEAD * rates.cores else 0.0
        process = k % rates.cores
        free[process] = np.maximum(free[process], room) + times[k]
        begin = max(now, float(free[process].max()))
        waited[k], taken[k] = begin - now, begin
        now = begin + step
    return (now - taken[STEPS]) / STEPS, float(waited[STEPS:].mean())


def estimate(recipe: Recipe, gpus: int, rates: Rates) -> Estimate:
    """What a recipe needs; see `simulate`."""
    seconds, waiting = simulate(recipe, gpus, rates)
    alone = simulate(replace(recipe, batch=max(recipe.batch // gpus, 1)), 1, rates)[0]
    rate = recipe.batch / seconds
    reduced = 2 * 4 * recipe.parameters / seconds / 1e6 if gpus > rates.gpus else 0.0
    return Estimate(
        gpus,
        -(-recipe.clips // recipe.batch) * recipe.epochs * seconds / 3600,
        waiting / seconds,
        alone / seconds,
        recipe.batch / gpus / compute_seconds(recipe.batch / gpus, recipe, rates) / rates.decoded,
        rate * recipe.megabytes,
        reduced,
    )


HEADER = ["GPUs", "batch", "hours", "waiting for clips", "efficiency", "loader cores a GPU needs"]
HEADER += ["disk MB/s", "network MB/s a machine"]


def table(recipe: Recipe, rates: Rates, grows: bool) -> list[str]:
    """Lines of Markdown: a row a number of GPUs, and where it stops scaling.

    Args:
        grows: the batch is the recipe's on every GPU; else in total.
    """
    rows, stop = [], None
    for gpus in GPUS:
        if not grows and recipe.batch < gpus:
            break
        now = replace(recipe, batch=recipe.batch * gpus) if grows else recipe
        e = estimate(now, gpus, rates)
        # Of a batch that is shared out: against one GPU with all of it.
        ideal = estimate(recipe, 1, rates).hours / gpus
        efficiency = e.efficiency if grows else ideal / e.hours
        stop = stop or (gpus if efficiency < 0.5 else None)
        rows.append(
            [str(gpus), str(now.batch), f"{e.hours:.2f}", f"{e.waiting:.0%}", f"{efficiency:.0%}",
             f"{e.cores:.1f}", f"{e.disk:.0f}", f"{e.network:.0f}"]
        )  # fmt: skip
    ends = f"From {stop} GPUs on, less than half of each GPU's speed is left."
    if stop is None:
        ends = f"Up to {rows[-1][0]} GPUs, each keeps more than half of its speed."
    return [*markdown_table(HEADER, rows), ends, ""]


def report(rates: Rates) -> list[str]:
    """SCALE.md."""
    r = rates
    lines = [
        "# What the paper's recipes need on many GPUs",
        "",
        "Simulated by [`scale.py`](scale.py), not measured: `tools/benchmark.py scale --out "
        "gesture3d/benchmarks/SCALE.md` rewrites this page. Measured are the decoding, "
        f"{r.decoded:g} clips/s of a core, multiply-adds and parameters ([README](README.md)). "
        f"**Assumed**, as no GPU was there to measure: {r.flops / 1e12:g} TFLOP/s of a GPU in "
        f"training, {1e3 * r.step_seconds:g} ms of each step for all else, {r.cores} loader cores "
        f"a GPU, {r.gpus} GPUs a machine, all-reduce at {r.inside / 1e9:g} GB/s inside and "
        f"{r.between / 1e9:g} GB/s between machines. Options of the command change each of them. "
        "For comparison, NVIDIA's data sheet of the A100 (80 GB, SXM, 2022) has 312 TFLOP/s in "
        "dense bf16, of which small 3-D convolutions reach a part, and NVLink with 300 GB/s each "
        "way; a network of 100 Gbit/s carries 12.5 GB/s at most.",
        "",
    ]
    for recipe in RECIPES:
        lines += [
            f"## {recipe.name}: {recipe.clips:,} clips, {recipe.epochs} epochs, variant (a)",
            "",
            f"The paper's total batch of {recipe.batch}, shared out: the same training, sooner.",
            "",
            *table(recipe, rates, grows=False),
            f"A batch of {recipe.batch} on every GPU: another training, whose learning rate has to "
            "be found anew.",
            "",
            *table(recipe, rates, grows=True),
        ]
    lines += ["## What the assumed speed of a GPU changes: Jester, 8 GPUs, 16 clips each", ""]
    rows = []
    for flops in (20e12, 50e12, 150e12, 400e12):
        jester = replace(RECIPES[0], batch=16 * 8)
        e = estimate(jester, 8, replace(rates, flops=flops))
        cached = estimate(jester, 8, replace(rates, flops=flops, decoded=1800.0))
        rows.append(
            [f"{flops / 1e12:g}", f"{e.hours:.2f}", f"{e.waiting:.0%}", f"{e.cores:.1f}",
             f"{cached.hours:.2f}", f"{cached.waiting:.0%}"]
        )  # fmt: skip
    header = ["TFLOP/s", "hours", "waiting for clips", "loader cores a GPU needs"]
    header += ["hours from the cache (1,800 clips/s a core)", "waiting"]
    return [*lines, *markdown_table(header, rows)]


def write(path: Path, rates: Rates) -> None:
    """Write `report`."""
    write_text(path, "\n".join(report(rates)).rstrip() + "\n")
