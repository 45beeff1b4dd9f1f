"""Several independent LSTM cells of one size, run side by side over one sequence.

The cells never see each other, so one step of all of them is one batched product. Three ways to
compute the same numbers, each where it is the fastest on small cells (see ``method`` below).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gesture3d.models.autograd import first_order
from gesture3d.models.online import Carried

# On a CPU one block-diagonal LSTM is the fastest up to this many sequences, and the own backward
# pass from this many on (6 cells of 14 units, one thread of a Zen 5; tools/benchmark.py).
BLOCK_UP_TO = 16
SCAN_FROM = 64


class ParallelLSTM(nn.Module):
    """``num_cells`` LSTM cells of ``hidden_size`` units: (T, N, K, B) → (T, N, H, B).

    The layout is time-major with the batch last: T steps, N cells, K inputs (H outputs) each, B
    sequences. Cell n reads ``x[:, n]``, from the zero state or, in a stream, the one that it left,
    (B, N, H) of each of h and c. Gates in PyTorch's order (input,
    forget, candidate, output), one bias per gate; ``forget_bias`` is where the forget gate's
    starts (the authors' BasicLSTMCell: 0.999).

    ``method`` of `forward`: ``turn`` one fused LSTM after the other; ``block`` a single LSTM with
    block-diagonal weights (fewest calls: few sequences, or a GPU, where the cells then run side by
    side); ``scan`` an own backward pass that keeps every step in the processor's cache and needs
    no weight gradient per cell and gate (training on a CPU). ``auto`` picks.
    """

    def __init__(self, num_cells: int, input_size: int, hidden_size: int, forget_bias: float = 1.0):
        super().__init__()
        self.num_cells, self.input_size, self.hidden_size = num_cells, input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(num_cells, 4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(num_cells, 4 * hidden_size, hidden_size))
        # One-dimensional, so that it counts as a bias for the weight decay.
        self.bias = nn.Parameter(torch.zeros(num_cells * 4 * hidden_size))
        for weight in (*self.weight_ih, *self.weight_hh):
            nn.init.xavier_uniform_(weight)
        with torch.no_grad():
            self.bias.view(num_cells, 4, hidden_size)[:, 1] = forget_bias

    def forward(
        self, x: Float[Tensor, "T N K B"], method: str = "auto", carried: Carried | None = None
    ) -> Float[Tensor, "T N H B"]:
        if carried and not carried.begins:
            return self._go_on(x, carried)
        if method == "auto":
            method = self._choose(x)
        return {"turn": self._turn, "block": self._block, "scan": self._scan}[method](x)

    def _go_on(self, x: Tensor, carried: Carried) -> Tensor:
        shape = (x.shape[3], self.num_cells, self.hidden_size)
        state = [carried.take(x, shape).flatten(1)[None] for _ in "hc"]
        y, *state = self._block_and_state(x, state)
        for tensor in state:
            carried.leave(tensor[0].unflatten(1, shape[1:]))
        return y

    def _choose(self, x: Tensor) -> str:
        if x.is_cuda or x.shape[3] <= BLOCK_UP_TO:
            return "block"
        return "scan" if torch.is_grad_enabled() and x.shape[3] >= SCAN_FROM else "turn"

    def _turn(self, x: Tensor) -> Tensor:
        bias = self.bias.view(self.num_cells, -1)
        outputs = [
            _lstm(x[:, n].transpose(1, 2).contiguous(), w_ih, w_hh, b)[0]
            for n, (w_ih, w_hh, b) in enumerate(
                zip(self.weight_ih, self.weight_hh, bias, strict=True)
            )
        ]
        return torch.stack(outputs, 1).transpose(2, 3)

    def _block(self, x: Tensor) -> Tensor:
        return self._block_and_state(x)[0]

    def _block_and_state(
        self, x: Tensor, state: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        cells, hidden = self.num_cells, self.hidden_size
        flat = x.flatten(1, 2).transpose(1, 2).contiguous()  # (T, B, N·K)
        y, h, c = _lstm(
            flat,
            _block_diagonal(self.weight_ih),
            _block_diagonal(self.weight_hh),
            self.bias.view(cells, 4, hidden).transpose(0, 1).reshape(-1),
            state,
        )
        return y.transpose(1, 2).unflatten(1, (cells, hidden)), h, c

    def _scan(self, x: Tensor) -> Tensor:
        # One product a step: the inputs, a row of ones for the bias, and the last output.
        ones = x.new_ones(x.shape[0], x.shape[1], 1, x.shape[3])
        bias = self.bias.view(self.num_cells, -1, 1)
        weight = torch.cat([self.weight_ih, bias, self.weight_hh], 2)
        # tanh(a) = 2 σ(2a) - 1, so that all four gates share one fast sigmoid.
        doubled = weight.new_tensor([1.0, 1.0, 2.0, 1.0]).repeat_interleave(self.hidden_size)
        return _Scan.apply(torch.cat([x, ones], 2), weight * doubled[:, None])


def _lstm(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    state: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """PyTorch's own LSTM: (T, B, K) → (T, B, H), and its last h and c, (1, B, H)."""
    if state is None:
        state = [x.new_zeros(1, x.shape[1], weight_hh.shape[1])] * 2
    weights = [weight_ih.contiguous(), weight_hh.contiguous(), bias, torch.zeros_like(bias)]
    train = torch.is_grad_enabled()
    return torch.lstm(x, state, weights, True, 1, 0.0, train, False, False)


def _block_diagonal(weight: Float[Tensor, "N G K"]) -> Tensor:
    """(N, 4·H, K) → (4·N·H, N·K): gate by gate, cell n's inputs reach cell n's units only."""
    cells, gates, inputs = weight.shape
    eye = torch.eye(cells, dtype=weight.dtype, device=weight.device)
    blocks = torch.einsum("ngik,nm->gnimk", weight.unflatten(1, (4, gates // 4)), eye)
    return blocks.reshape(cells * gates, cells * inputs)


class _Scan(torch.autograd.Function):
    """All cells over all steps; the candidate's rows of ``weight`` are doubled already.

    forward(x (T, N, K, B), weight (N, 4·H, K + H)) → (T, N, H, B). With a = weight · [x_t, h_t-1],
    i, f, o = σ(a), g = 2 σ(a) - 1:  c_t = f c_t-1 + i g,  h_t = o tanh(c_t).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        steps, cells, inputs, batch = x.shape
        hidden = weight.shape[1] // 4
        xh = x.new_empty(steps + 1, cells, inputs + hidden, batch)
        xh[:-1, :, :inputs] = x
        xh[0, :, inputs:] = 0
        cell_states = x.new_empty(steps + 1, cells, hidden, batch)
        cell_states[0] = 0
        gates = x.new_empty(steps, cells, 4, hidden, batch)
        squashed = x.new_empty(cells, hidden, batch)
        for t in range(steps):
            torch.bmm(weight, xh[t], out=gates[t].flatten(1, 2)).sigmoid_()
            i, f, g, o = gates[t].unbind(1)
            g.mul_(2).sub_(1)
            torch.mul(f, cell_states[t], out=cell_states[t + 1]).addcmul_(i, g)
            _tanh(cell_states[t + 1], squashed)
            torch.mul(o, squashed, out=xh[t + 1, :, inputs:])
        ctx.save_for_backward(weight, xh, cell_states, gates)
        return xh[1:, :, inputs:].clone()

    @staticmethod
    @first_order
    def backward(ctx, d_outputs: Tensor) -> tuple[Tensor, Tensor]:
        weight, xh, cell_states, gates = ctx.saved_tensors
        steps, cells, _, hidden, batch = gates.shape
        inputs = weight.shape[2] - hidden
        d_xh = xh.new_empty(steps, cells, inputs + hidden, batch)
        d_weight, transposed = torch.zeros_like(weight), weight.transpose(1, 2).contiguous()
        d_h, d_c = xh.new_zeros(2, cells, hidden, batch)
        squashed, through = torch.empty_like(d_c), torch.empty_like(d_c)
        d_gates = torch.empty_like(gates[0])
        d_i, d_f, d_g, d_o = d_gates.unbind(1)
        flat = d_gates.flatten(1, 2)
        for t in range(steps - 1, -1, -1):
            i, f, g, o = gates[t].unbind(1)
            d_h.add_(d_outputs[t])
            _tanh(cell_states[t + 1], squashed)
            torch.mul(d_h, o, out=through)
            d_c.add_(through)
            through.mul_(squashed)
            d_c.addcmul_(through, squashed, value=-1)  # d_c + d_h o (1 - tanh²)
            torch.addcmul(gates[t], gates[t], gates[t], value=-1, out=d_gates)  # σ' = σ (1 - σ)
            d_i.mul_(g)
            d_f.mul_(cell_states[t])
            # g = 2 σ(a) - 1 for the doubled a: dg/da = (1 - g²) / 2
            torch.addcmul(i, i * g, g, value=-1, out=d_g).mul_(0.5)
            d_gates[:, :3].mul_(d_c[:, None])
            torch.addcmul(through, through, o, value=-1, out=d_o)
            d_c.mul_(f)
            torch.bmm(transposed, flat, out=d_xh[t])
            d_h.copy_(d_xh[t, :, inputs:])
            torch.baddbmm(d_weight, flat, xh[t].transpose(1, 2), out=d_weight)
        return d_xh[:, :, :inputs], d_weight


def _tanh(x: Tensor, out: Tensor) -> None:
    """tanh as 2 σ(2x) - 1: several times faster than `torch.tanh` on a CPU."""
    torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)
