"""Networks in the form in which they are exported: the same numbers by operations that every
runtime has.

- Batch norms are folded into convolutions.
- GRUs and LSTMs are written as products inside a scan over time of any length (ONNX's Scan): what
  exporters make of PyTorch's own fixes the length, and was wrong where the reset gate of a GRU
  acts before instead of behind the product. A single step has no loop.
- In a step of a stream, 3-D convolutions are 2-D ones of the frames that they cover, as channels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from gesture3d.data.spec import InputSpec
from gesture3d.models.cnn1d import Cnn1d
from gesture3d.models.conv3d import CausalConv3d
from gesture3d.models.folding import fold_batch_norms
from gesture3d.models.online import Carried
from gesture3d.models.parallel_lstm import ParallelLSTM

MOST = 4096  # samples of a batch


def prepared(model: nn.Module, in_2d: bool) -> nn.Module:
    """A copy of the network in that form.

    Args:
        in_2d: causal convolutions are 2-D ones.
    """
    model = fold_batch_norms(model)
    for module in model.modules():
        if isinstance(module, nn.GRU):
            module.__class__ = ProductGRU
        elif isinstance(module, ParallelLSTM):
            module.__class__ = ProductLSTM
        elif isinstance(module, nn.MaxPool1d):
            module.__class__ = AnyLengthMaxPool1d
        elif isinstance(module, CausalConv3d):
            module.in_2d = in_2d
        elif isinstance(module, nn.ReLU6):
            module.inplace = False  # in place it is taken apart in symbols: half of all the time
    return model


class ClipModel(nn.Module):
    """One input → scores (B, K), divided by the temperature."""

    def __init__(self, model: nn.Module, temperature: float):
        super().__init__()
        self.model, self.temperature = prepared(model, in_2d=False), temperature

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs) / self.temperature


class StepModel(nn.Module):
    """The next frames and the state → scores (B, K), divided by the temperature, and the state."""

    def __init__(self, model: nn.Module, temperature: float):
        super().__init__()
        self.model, self.temperature = prepared(model, in_2d=True), temperature

    def forward(self, inputs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        carried = Carried(state)
        scores = self.model.scores_of_steps(inputs, None, carried)
        return scores[:, 0] / self.temperature, *carried.state


def trace(model: nn.Module, spec: InputSpec, temperature: float, *, step: bool):
    """A `torch.export.ExportedProgram` of any batch, and where it reads whole sequences, length."""
    batch = {0: torch.export.Dim("batch", min=1, max=MOST)}
    if step:
        inputs = spec.example(3, model.step_frames)
        state = model.initial_state(3, spec.shape[2:])
        arguments, shapes = (inputs, *state), (batch, (batch,) * len(state))
    else:
        least, time = shortest(model), {}
        if spec.kind == "sequences":
            time = {1: torch.export.Dim("time", min=least)}
        arguments = (spec.example(3, least + 6 if time else None),)
        shapes = (batch | time,)
    net = (StepModel if step else ClipModel)(model, temperature)
    with torch.no_grad():
        program = torch.export.export(net.eval(), arguments, dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    return program


def shortest(model: nn.Module) -> int:
    """Steps of a sequence that an exported network takes at least: `Cnn1d` must not pool to one."""
    return 2 ** (len(model.convolutions) - 1) + 1 if isinstance(model, Cnn1d) else 1


class ProductGRU(nn.GRU):
    """`nn.GRU`, one direction, batch first: r, z = σ(W x + U h + b), n = tanh(W x + b + r (U h +
    b)), h' = (1 - z) n + z h."""

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        steps, last = x.transpose(0, 1), []  # (T, B, D)
        for layer in range(self.num_layers):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            w_x, w_h, b_x, b_h = (getattr(self, f"{name}_l{layer}") for name in names)

            def step(h: Tensor, of_x: Tensor, w_h: Tensor = w_h, b_h: Tensor = b_h):
                x_r, x_z, x_n = of_x.chunk(3, -1)
                h_r, h_z, h_n = F.linear(h, w_h, b_h).chunk(3, -1)
                n = (x_n + (x_r + h_r).sigmoid() * h_n).tanh()
                h = n + (x_z + h_z).sigmoid() * (h - n)
                return h, h.clone()

            if h0 is None:
                h = steps.new_zeros(steps.shape[1], self.hidden_size)
            else:
                h = h0[layer].clone()  # a view's offset would fix the batch
            h, steps = _over_time(step, h, F.linear(steps, w_x, b_x))
            last.append(h)
        return steps.transpose(0, 1), torch.stack(last)


class ProductLSTM(ParallelLSTM):
    """`ParallelLSTM`: i, f, o = σ(W x + U h + b), g = tanh(…), c' = f c + i g, h' = o tanh(c')."""

    def forward(self, x: Tensor, method: str = "auto", carried: Carried | None = None) -> Tensor:
        of_x = self.weight_ih @ x + self.bias.view(self.num_cells, -1, 1)  # (T, N, 4·H, B)
        carried, shape = carried or Carried(), (x.shape[3], self.num_cells, self.hidden_size)
        h, c = (carried.take(x, shape).movedim(0, -1).contiguous() for _ in "hc")  # (N, H, B)

        def step(state: tuple[Tensor, Tensor], of_x: Tensor):
            h, c = state
            i, f, g, o = (of_x + torch.bmm(self.weight_hh, h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            return (h, c), h.clone()

        (h, c), outputs = _over_time(step, (h, c), of_x)
        for last in (h, c):
            carried.leave(last.movedim(-1, 0))
        return outputs


class AnyLengthMaxPool1d(nn.MaxPool1d):
    """`nn.MaxPool1d` as `Cnn1d` has it, over kernels side by side with the last one cut off by the
    end; its own way fixes the length when it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, self.kernel_size - 1), value=float("-inf"))
        return F.max_pool2d(padded[:, :, None], (1, self.kernel_size))[:, :, 0]


def _over_time(step: Callable, state, inputs: Tensor):
    """``step(state, inputs[t])`` for all t → the last state, and the outputs (T, …)."""
    if isinstance(inputs.shape[0], int) and inputs.shape[0] == 1:
        state, output = step(state, inputs[0])
        return state, output[None]
    return scan(step, state, inputs, dim=0)
