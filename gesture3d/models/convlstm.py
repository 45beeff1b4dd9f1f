"""The convolutional LSTM and its variants (a)-(d).

Zhang et al., "Attention in Convolutional LSTM for Gesture Recognition", NeurIPS 2018; equation
numbers are that paper's. Symbols: X_t input, H_t hidden state, C_t cell state; i, f, o the input,
forget and output gates, G the candidate memory; * is a convolution with same padding.

From bottom to top: the blocks of figure 2, one small cell per variant, and the layer that runs a
cell over a sequence. (Variant (a) has a faster way on a CPU, ``convlstm_sequence``: the same
function.) Blocks and cells split their work in two, so that the loop over time contains only what
depends on the hidden state:

    input_term(s)(x)   what follows from X alone, computed for ALL time steps at once
    forward / gates    the rest, computed at every recurrent step

Where the text leaves the structure open, the parameter counts (7), (16), (20), (24) fix it:
both convolutions of the candidate memory in (a) are depthwise separable; so are W_xa and W_ha in
(b), while W_z is a full K×K convolution to one map; so are W_xi, W_hi and W_i in (c) and (d). There
is no bias or nonlinearity between depthwise and pointwise, and one bias in each equation.
"""

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gesture3d.models.convlstm_sequence import (
    Weights,
    has_plain_autograd,
    pointwise_images,
    run_sequence,
    tanh,
)
from gesture3d.models.res3d import init_he_normal

State = tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]


def _fp32(x: Tensor) -> Tensor:
    """``x`` in at least 32 bits: activations and the cell state stay exact under autocast."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _mean_over_map(x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C"]:
    return x.movedim(1, -1).mean((1, 2))  # so that the gradient comes back in channels-last order


# ---------------------------------------------------------------------- the blocks of figure 2


class PointwiseConv2d(nn.Conv2d):
    """1×1. On a CPU a few images are cut into more of them: see ``pointwise_images``."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False):
        super().__init__(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C2 H W"]:
        if not has_plain_autograd(x) or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        count, _, height, width = x.shape
        y = super().forward(pointwise_images(x)).movedim(1, -1)
        return y.reshape(count, height, width, -1).movedim(-1, 1)


class SeparableConv2d(nn.Module):
    """Depthwise K×K, then pointwise 1×1, same padding: K²·C_in + C_in·C_out weights."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = False):
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, padding="same", groups=in_channels, bias=False
        )
        self.pointwise = PointwiseConv2d(in_channels, out_channels, bias)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C2 H W"]:
        return self.pointwise(self.depthwise(x))


class Transition(nn.Module):
    """Figure 2's "Conv": W_x * X_t + W_h * H_{t-1} + b, the inside of (13), (17) and (21)."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        self.input = SeparableConv2d(in_channels, hidden_channels, kernel_size, bias=True)
        self.hidden = SeparableConv2d(hidden_channels, hidden_channels, kernel_size)

    def input_term(self, x: Float[Tensor, "N Cin H W"]) -> Float[Tensor, "N C H W"]:
        return self.input(x)

    def forward(
        self, input_term: Float[Tensor, "B C H W"], h: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        return _fp32(input_term + self.hidden(h))


class PooledGates(nn.Module):
    """Figure 2's "P&FC": gates that are constant over space, (8)-(12).

    All gates share one matrix product for X and one for H; its rows are the gates in turn.
    """

    def __init__(self, in_channels: int, hidden_channels: int, num_gates: int):
        super().__init__()
        self.num_gates = num_gates
        self.input = nn.Linear(in_channels, num_gates * hidden_channels)
        self.hidden = nn.Linear(hidden_channels, num_gates * hidden_channels, bias=False)

    def input_term(self, x: Float[Tensor, "N Cin H W"]) -> Float[Tensor, "N gatesC"]:
        return self.input(_mean_over_map(x))  # (8)

    def forward(
        self, input_term: Float[Tensor, "B gatesC"], h: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B C 1 1"], ...]:
        z = input_term + self.hidden(_mean_over_map(h))  # (9)
        return _fp32(z)[:, :, None, None].sigmoid().chunk(self.num_gates, dim=1)  # (10)-(12)


class SpatialAttention(nn.Module):
    """Figure 2's "Atten": one score per position, summing to 1 over a map, (17)-(18)."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        self.transition = Transition(in_channels, hidden_channels, kernel_size)
        self.score = nn.Conv2d(hidden_channels, 1, kernel_size, padding="same", bias=False)  # W_z

    def input_term(self, x: Float[Tensor, "N Cin H W"]) -> Float[Tensor, "N C H W"]:
        return self.transition.input_term(x)

    def forward(
        self, input_term: Float[Tensor, "B C H W"], h: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B 1 H W"]:
        z = self.score(tanh(self.transition(input_term, h)).to(self.score.weight.dtype))  # (17)
        return _fp32(z).flatten(1).softmax(dim=1).view(z.shape)  # (18)


class ChannelAttention(nn.Module):
    """Figure 2's "CAtten": a gate in (0, 1] with maximum 1 over each channel's map, (21)-(23).

    (22) is computed as exp(Z - max Z): the same value, and it cannot overflow.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        self.transition = Transition(in_channels, hidden_channels, kernel_size)
        self.score = SeparableConv2d(hidden_channels, hidden_channels, kernel_size)  # W_i

    def input_term(self, x: Float[Tensor, "N Cin H W"]) -> Float[Tensor, "N C H W"]:
        return self.transition.input_term(x)

    def forward(
        self, input_term: Float[Tensor, "B C H W"], h: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        squashed = tanh(self.transition(input_term, h)).to(self.score.depthwise.weight.dtype)
        z = _fp32(self.score(squashed))  # (21)
        return (z - z.amax((2, 3), keepdim=True)).exp()  # (22)-(23)


# ------------------------------------------------------------------------- a cell per variant


class Gates(NamedTuple):
    """The activities of one step. i, f, o are (B, C, H, W), or (B, C, 1, 1) where pooled."""

    input: Tensor  # i
    forget: Tensor  # f
    output: Tensor  # o
    candidate: Tensor  # G, (B, C, H, W)
    # Where a variant has an attention map: A of (18), (B, 1, H, W), in (b); (23), which is i in (c)
    # and o in (d).
    attention: Tensor | None = None


class Cell(nn.Module):
    """What makes a cell fast; what it computes is said in the three methods that follow it."""

    cpu_order: ClassVar[torch.memory_format] = torch.channels_last  # of its maps; on a GPU always

    def sequence_weights(self) -> Weights | None:
        """For ``run_sequence``, where that computes the same as the cell's steps."""
        return None


class ConvLSTMCell(Cell):
    """The original cell, (1)-(4): the gates are convolutions too."""

    cpu_order = torch.contiguous_format  # in which its large convolutions are faster

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        self.input = nn.Conv2d(in_channels, 4 * hidden_channels, kernel_size, padding="same")
        self.hidden = nn.Conv2d(
            hidden_channels, 4 * hidden_channels, kernel_size, padding="same", bias=False
        )

    def forget_bias(self) -> Tensor:
        """b_f, a view."""
        return self.input.bias.chunk(4)[1]

    def input_terms(self, x: Float[Tensor, "N Cin H W"]) -> tuple[Tensor, ...]:
        return (self.input(x),)

    def gates(self, input_terms: tuple[Tensor, ...], h: Float[Tensor, "B C H W"]) -> Gates:
        z = _fp32(input_terms[0] + self.hidden(h))
        i, f, o, g = z.chunk(4, dim=1)
        return Gates(i.sigmoid(), f.sigmoid(), o.sigmoid(), tanh(g))  # (1)-(4)


class CellA(Cell):
    """Variant (a), (8)-(13): pooled gates; the convolutions are left to the candidate memory."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        self.pooled_gates = PooledGates(in_channels, hidden_channels, num_gates=3)
        self.candidate = Transition(in_channels, hidden_channels, kernel_size)

    def forget_bias(self) -> Tensor:
        return self.pooled_gates.input.bias.chunk(3)[1]

    def input_terms(self, x: Float[Tensor, "N Cin H W"]) -> tuple[Tensor, ...]:
        return self.pooled_gates.input_term(x), self.candidate.input_term(x)

    def gates(self, input_terms: tuple[Tensor, ...], h: Float[Tensor, "B C H W"]) -> Gates:
        x_gates, x_candidate = input_terms
        i, f, o = self.pooled_gates(x_gates, h)
        return Gates(i, f, o, tanh(self.candidate(x_candidate, h)))  # (13)

    def sequence_weights(self) -> Weights | None:
        """What acts on X beside what acts on H. Not inherited: a subclass has other steps."""
        if type(self) is not CellA:
            return None
        gates, x, h = self.pooled_gates, self.candidate.input, self.candidate.hidden
        return Weights(
            gates=torch.cat([gates.input.weight, gates.hidden.weight], dim=1),
            gates_bias=gates.input.bias,
            depthwise=torch.cat([x.depthwise.weight, h.depthwise.weight]),
            pointwise=torch.cat([x.pointwise.weight, h.pointwise.weight], dim=1),
            bias=x.pointwise.bias,
        )


class CellB(CellA):
    """Variant (b), (17)-(19): variant (a) on the input weighted by a spatial attention map.

    The weighted input depends on H, so only the attention's own share of X leaves the loop.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__(in_channels, hidden_channels, kernel_size)
        self.attention = SpatialAttention(in_channels, hidden_channels, kernel_size)

    def input_terms(self, x: Float[Tensor, "N Cin H W"]) -> tuple[Tensor, ...]:
        x_attention = self.attention.input_term(x)
        return x_attention, x.to(x_attention.dtype)

    def gates(self, input_terms: tuple[Tensor, ...], h: Float[Tensor, "B C H W"]) -> Gates:
        x_attention, x = input_terms
        attention = self.attention(x_attention, h)
        weighted_x = attention.to(x.dtype) * x  # (19)
        return super().gates(super().input_terms(weighted_x), h)._replace(attention=attention)


class CellC(Cell):
    """Variant (c), (21)-(23): variant (a) whose input gate is a channel-wise attention."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int):
        super().__init__()
        self.pooled_gates = PooledGates(in_channels, hidden_channels, num_gates=2)
        self.candidate = Transition(in_channels, hidden_channels, kernel_size)
        self.attention = ChannelAttention(in_channels, hidden_channels, kernel_size)

    def forget_bias(self) -> Tensor:
        return self.pooled_gates.input.bias.chunk(2)[0]

    def input_terms(self, x: Float[Tensor, "N Cin H W"]) -> tuple[Tensor, ...]:
        blocks = (self.pooled_gates, self.candidate, self.attention)
        return tuple(block.input_term(x) for block in blocks)

    def gates(self, input_terms: tuple[Tensor, ...], h: Float[Tensor, "B C H W"]) -> Gates:
        x_gates, x_candidate, x_attention = input_terms
        f, o = self.pooled_gates(x_gates, h)
        i = self.attention(x_attention, h)
        return Gates(i, f, o, tanh(self.candidate(x_candidate, h)), attention=i)


class CellD(CellC):
    """Variant (d): variant (a) whose output gate is a channel-wise attention, as in (21)-(23)."""

    def forget_bias(self) -> Tensor:
        return self.pooled_gates.input.bias.chunk(2)[1]

    def gates(self, input_terms: tuple[Tensor, ...], h: Float[Tensor, "B C H W"]) -> Gates:
        x_gates, x_candidate, x_attention = input_terms
        i, f = self.pooled_gates(x_gates, h)
        o = self.attention(x_attention, h)
        return Gates(i, f, o, tanh(self.candidate(x_candidate, h)), attention=o)


# By the variants' names, which are listed in `gesture3d.paper`.
CELLS = {"convlstm": ConvLSTMCell, "a": CellA, "b": CellB, "c": CellC, "d": CellD}


# ----------------------------------------------------------------------------------- the layer


def _steps(x: Float[Tensor, "B T ..."]) -> list[Float[Tensor, "B ..."]]:
    """The time steps, split in the order in memory, which their gradients then keep."""
    if x.dim() == 3 or x.is_contiguous():
        return list(x.unbind(1))
    return [step.movedim(-1, 1) for step in x.movedim(2, -1).unbind(1)]  # (B, C, H, W) each


class ConvLSTM(nn.Module):
    """One recurrent layer: ``layer(x, state=None)`` → ``(hidden_sequence, (h, c))``.

    x is (B, T, in_channels, H, W), the hidden sequence (B, T, hidden_channels, H, W) with values in
    (-1, 1), h and c (B, hidden_channels, H, W) the state after the last step; ``state=None`` starts
    from zeros. Feeding a sequence in two halves, with the state passed along, equals feeding it
    whole. ``layer(x, state, return_gates=True)`` also returns a list of one ``Gates`` a step.

    Kernels start He-normal, those of pooled gates at the constant 1 / hidden_channels (the authors'
    initialisation), biases at 0 and the forget gate's at ``forget_bias``. Under autocast the
    convolutions run in low precision, activations and cell state in fp32. Variant (a) cannot be
    differentiated twice on a CPU.

    Raises ValueError for an unknown variant, an even ``kernel_size``, another number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        variant: str = "a",
        forget_bias: float = 0.0,
    ):
        super().__init__()
        if variant not in CELLS:
            raise ValueError(f"variant must be one of {', '.join(CELLS)}, not {variant!r}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd (same padding), not {kernel_size}")
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.variant = variant
        self.cell = CELLS[variant](in_channels, hidden_channels, kernel_size)
        self.reset_parameters(forget_bias)

    @torch.no_grad()
    def reset_parameters(self, forget_bias: float) -> None:
        init_he_normal(self)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.constant_(module.weight, 1 / self.hidden_channels)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        self.cell.forget_bias().fill_(forget_bias)

    def forward(
        self,
        x: Float[Tensor, "B T Cin H W"],
        state: State | None = None,
        return_gates: bool = False,
    ) -> tuple:
        if x.shape[2] != self.in_channels:
            raise ValueError(f"x has {x.shape[2]} channels, this layer takes {self.in_channels}")
        stepwise = return_gates or not has_plain_autograd(x)
        if not stepwise and (weights := self.cell.sequence_weights()):
            output, c = run_sequence(x, state, weights)
            return output, (output[:, -1], c)

        batch, time, _, height, width = x.shape
        order = self.cell.cpu_order if x.is_cpu else torch.channels_last
        frames = x.flatten(0, 1).contiguous(memory_format=order)  # (B·T, Cin, H, W)
        terms = self.cell.input_terms(frames)
        steps = zip(*(_steps(term.unflatten(0, (batch, time))) for term in terms), strict=True)

        dtype = terms[-1].dtype  # what the convolutions compute in
        if state is None:
            h = frames.new_zeros((batch, self.hidden_channels, height, width), dtype=dtype)
            h = h.contiguous(memory_format=order)
            c = _fp32(h)
        else:
            h, c = state[0].to(dtype), _fp32(state[1])

        hidden_sequence, gates_sequence = [], []
        for step_terms in steps:
            gates = self.cell.gates(step_terms, h)
            c = torch.addcmul(gates.forget * c, gates.input, gates.candidate)  # (5), (14)
            h = (gates.output * tanh(c)).to(dtype)  # (6), (15)
            hidden_sequence.append(h.permute(0, 2, 3, 1))  # (B, H, W, C), the order in memory
            if return_gates:
                gates_sequence.append(gates)

        output = torch.stack(hidden_sequence, dim=1).permute(0, 1, 4, 2, 3)  # (B, T, C, H, W)
        return (output, (h, c), gates_sequence) if return_gates else (output, (h, c))
