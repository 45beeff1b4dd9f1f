"""The video network against what the machine can do, and against other ways to write it.

Everything that is compared runs in turn, in one process (see ``timing``). A floor is a number of
multiply-adds at the highest convolution rate that was seen in the same run: no program that does
these multiply-adds is faster on this machine.
"""

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gesture3d.benchmarks.naive_convlstm import NaiveNetwork, naive_sequence
from gesture3d.benchmarks.tables import Row
from gesture3d.benchmarks.timing import (
    Clock,
    OperationTimes,
    Seconds,
    interleave,
    kept_bytes,
    milliseconds,
    ratio,
)
from gesture3d.cost import count_cost
from gesture3d.machine import choose_device
from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.gesture_net import GestureNet

PRODUCTS = ("convolution", "mkldnn_convolution", "convolution_backward")
PRODUCTS += ("mm", "addmm", "bmm", "baddbmm")


class Side(NamedTuple):
    """What is measured beside others: ``forward(x)``, and its precision if not the benchmark's."""

    forward: Callable
    x: Tensor
    precision: str | None = None


class Benchmark:
    """What all parts share: device, precision (``fp32`` or ``bf16``), seconds a measurement.

    Each part returns rows for a table; times are in milliseconds for the whole batch.
    """

    def __init__(self, device: str, precision: str, seconds: float):
        self.device = choose_device(device)
        self.precision, self.seconds = precision, seconds
        self.clock = Clock(self.device)
        # Floating-point operations a second so far: of convolutions, of any product.
        self.best_rate = self.peak_rate = 0.0

    def autocast(self, precision: str | None = None) -> AbstractContextManager:
        enabled = (precision or self.precision) == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def measure(self, sides: dict[str, Callable]) -> Seconds:
        return interleave(sides, self.clock, self.seconds)

    def passes(
        self,
        forward: Callable,
        x: Tensor,
        input_gradient: bool = False,
        precision: str | None = None,
    ) -> dict[str, Callable]:
        """``forward(x)`` alone, and with its backward pass, as sides to measure.

        A module runs in evaluation mode alone, and in training mode with its backward pass.
        """
        module = forward if isinstance(forward, nn.Module) else nn.Module()

        def run_forward() -> None:
            module.eval()
            with torch.no_grad(), self.autocast(precision):
                forward(x)

        def run_both() -> None:
            module.train()
            with self.autocast(precision):
                result = _first(forward(x.detach().requires_grad_(input_gradient)))
            result.backward(torch.ones_like(result))
            module.zero_grad()

        return {"forward": run_forward, "forward+backward": run_both}

    def side_by_side(self, sides: dict[str, Side], input_gradient: bool) -> list[Row]:
        """A row for each pass: each side's milliseconds, and how many times faster the first is."""
        passes = {
            name: self.passes(side.forward, side.x, input_gradient, side.precision)
            for name, side in sides.items()
        }
        rows = []
        for name in ("forward", "forward+backward"):
            times = self.measure({side: both[name] for side, both in passes.items()})
            first, *others = times
            row: Row = {"pass": name}
            row |= {f"{side}, ms": milliseconds(seconds) for side, seconds in times.items()}
            row |= {f"{other} / {first}": ratio(times, first, other) for other in others}
            rows.append(row)
        return rows

    def against_products(self, forward: Callable, x: Tensor, input_gradient: bool) -> list[Row]:
        """Each pass against the convolutions and products inside it, timed one by one."""
        rows = []
        for name, run in self.passes(forward, x, input_gradient).items():
            seconds = self.measure({name: run})[name]
            with OperationTimes(self.clock) as operations:
                run()
            products = sum(operations.seconds.get(name, 0.0) for name in PRODUCTS)
            row: Row = {"pass": name, "whole, ms": milliseconds(seconds)}
            row["its convolutions and products, ms"] = 1000 * products
            row["ratio"] = statistics.median(seconds) / products
            row["memory, MB"] = self.peak_memory(run)
            rest = {k: v for k, v in operations.seconds.items() if k not in PRODUCTS}
            largest = sorted(rest.items(), key=lambda item: -item[1])[:6]
            row["largest others, ms"] = ", ".join(f"{k} {1000 * v:.0f}" for k, v in largest)
            rows.append(row)
        return rows

    # --- the machine ----------------------------------------------------------------------------

    def limits(self) -> list[Row]:
        """Rates of matrix products, convolutions (the network's own shapes) and copies."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        new = {"dtype": dtype, "device": self.device}
        n = 8192 if self.device.type == "cuda" else 1024
        a, b = torch.randn(n, n, **new), torch.randn(n, n, **new)
        runs = {f"matrix product {n}³": (lambda: a @ b, 2 * n**3)}
        for name, c_in, c_out, kernel, size in CONVOLUTIONS:
            x = torch.randn(1, c_in, *size, **new).to(memory_format=torch.channels_last_3d)
            weight = torch.randn(c_out, c_in, *kernel, **new)
            padding = [k // 2 for k in kernel]
            operations = 2 * weight.numel() * size[0] * size[1] * size[2]
            runs[name] = (
                lambda x=x, w=weight, p=padding: F.conv3d(x, w, padding=p),
                operations,
            )
        source = torch.randn(16 << 20, device=self.device)
        target = torch.empty_like(source)
        rows = []
        with torch.no_grad():
            times = self.measure({name: run for name, (run, _) in runs.items()})
            copy = self.measure({"copy": lambda: target.copy_(source)})["copy"]
        for name, (_, operations) in runs.items():
            rate = operations / min(times[name])
            if "convolution" in name:
                self.best_rate = max(self.best_rate, rate)
            self.peak_rate = max(self.peak_rate, rate)
            rows.append({"limit": name, "GFLOP/s": rate / 1e9})
        read_and_written = 2 * source.numel() * source.element_size()
        rows.append({"limit": "copy, 64 MB", "GB/s": read_and_written / min(copy) / 1e9})
        return rows

    # --- the recurrent layers ---------------------------------------------------------------------

    def recurrent(
        self, variants: list[str], batch: int, channels: int, steps: int, size: int
    ) -> dict[str, list[Row]]:
        """Layers of these variants in a row against loops over naive cells, on the same weights,
        and against their own convolutions and products."""
        torch.manual_seed(0)
        layers = nn.ModuleList(ConvLSTM(channels, channels, variant=v) for v in variants)
        layers.to(self.device)
        x = torch.randn(batch, channels, steps, size, size, device=self.device)
        x = x.to(memory_format=torch.channels_last_3d).transpose(1, 2)  # as Res3D hands it over

        def ours(x: Tensor) -> Tensor:
            for layer in layers:
                x, _ = layer(x)
            return x

        def naive(x: Tensor, concatenate: bool = False) -> Tensor:
            for layer in layers:
                x = naive_sequence(layer, x, concatenate=concatenate)
            return x

        sides = {"ours": Side(ours, x), "naive": Side(naive, x.contiguous())}
        if set(variants) == {"convlstm"}:
            sides["common form"] = Side(lambda x: naive(x, concatenate=True), x.contiguous())
        self._add_full_precision(sides)
        memory: Row = {"kept for the backward pass": "MB"}
        for name, side in sides.items():
            with self.autocast(side.precision):
                memory[name] = kept_bytes(side.forward, side.x) / 1e6
        return {
            "speed": self.side_by_side(sides, input_gradient=True),
            "whole": self.against_products(ours, x, input_gradient=True),
            "memory": [memory],
        }

    def _add_full_precision(self, sides: dict[str, Side]) -> None:
        """Beside bf16, everything but ours in fp32 too."""
        if self.precision != "fp32":
            others = {name: side for name, side in sides.items() if name != "ours"}
            sides |= {f"{n} fp32": side._replace(precision="fp32") for n, side in others.items()}

    # --- the whole network ------------------------------------------------------------------------

    def network(
        self, variants: list[str], batch: int, frames: int, size: int
    ) -> dict[str, list[Row]]:
        """Blocks against their floors, the whole against its own convolutions and products."""
        torch.manual_seed(0)
        net = GestureNet(27, variants=variants).to(self.device)
        clips = torch.randint(0, 256, (batch, frames, 3, size, size), dtype=torch.uint8)
        clips = clips.to(self.device)
        return {
            "blocks": self._blocks(net, clips),
            "whole": self.against_products(net, clips, input_gradient=False),
            "gradient checkpointing": self._checkpointing(net, clips),
            "other networks": self._others(net, clips),
        }

    def _blocks(self, net: GestureNet, clips: Tensor) -> list[Row]:
        if not self.best_rate:
            self.limits()
        cost = {row.block: row.multiply_adds for row in count_cost(net, clips)}
        rows = []
        for block, x in self.block_inputs(net, clips).items():
            module = net.get_submodule(block)
            times = self.measure(self.passes(module, x, input_gradient=block != "res3d"))
            row: Row = {"block": block, "multiply-adds, G": cost[block] / 1e9}
            for name, factor in (("forward", 1), ("forward+backward", 3)):
                floor = factor * 2 * cost[block] / self.best_rate
                row[f"{name}: floor, ms"] = 1000 * floor
                row[f"{name}: ours, ms"] = milliseconds(times[name])
                row[f"{name}: ratio"] = statistics.median(times[name]) / floor
            rows.append(row)
        return rows

    def block_inputs(self, net: GestureNet, clips: Tensor) -> dict[str, Tensor]:
        """What each block reads inside the network."""
        inputs: dict[str, Tensor] = {}
        names = ["res3d", *(f"recurrent.{n}" for n in range(len(net.recurrent))), "mobilenet"]
        handles = []
        for name in names:

            def hook(_module: nn.Module, arguments: tuple, name: str = name) -> None:
                inputs[name] = arguments[0].detach()

            handles.append(net.get_submodule(name).register_forward_pre_hook(hook))
        with torch.no_grad(), self.autocast():
            net(clips)
        for handle in handles:
            handle.remove()
        return inputs

    def _checkpointing(self, net: GestureNet, clips: Tensor) -> list[Row]:
        """A training step, and what its forward pass keeps, with and without recomputing."""
        training_step = self.passes(net, clips)["forward+backward"]
        kept = {}

        def run(checkpointing: bool) -> None:
            net.gradient_checkpointing = checkpointing
            training_step()

        for name, checkpointing in (("kept", False), ("recomputed", True)):
            net.train().gradient_checkpointing = checkpointing
            with self.autocast():
                kept[name] = kept_bytes(net, clips) / 1e6
        times = self.measure({"kept": lambda: run(False), "recomputed": lambda: run(True)})
        net.gradient_checkpointing = False
        return [
            {"activations": name, "step, ms": milliseconds(times[name]), "kept, MB": kept[name]}
            for name in times
        ]

    def peak_memory(self, run: Callable) -> float | None:
        if self.device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        run()
        return torch.cuda.max_memory_allocated(self.device) / 1e6

    def _others(self, net: GestureNet, clips: Tensor) -> list[Row]:
        """The same network in its naive form, and torchvision's r3d_18."""
        from torchvision.models.video import r3d_18

        sides = {"ours": Side(net, clips), "naive": Side(NaiveNetwork(net), clips)}
        self._add_full_precision(sides)
        other = r3d_18(num_classes=27).to(self.device)
        sides["r3d_18"] = Side(other, net.preprocessing(clips, torch.float32).detach())
        return self.side_by_side(sides, input_gradient=False)


# name, channels in and out, kernel, (T, H, W): stage 1 and 3 of Res3D, a pointwise convolution
CONVOLUTIONS = (
    ("convolution 3×3×3, 64 → 64", 64, 64, (3, 3, 3), (16, 56, 56)),
    ("convolution 3×3×3, 256 → 256", 256, 256, (3, 3, 3), (8, 28, 28)),
    ("convolution 1×1, 256 → 256", 256, 256, (1, 1, 1), (16, 28, 28)),
)


def _first(result: Tensor | tuple) -> Tensor:
    """A block's output; recurrent layers also return their state."""
    return result[0] if isinstance(result, tuple) else result
