"""Variant (a) over a whole sequence, with its gradients written by hand: the fast path on a CPU.

It computes what `ConvLSTM`'s loop over `CellA` computes, and less often goes through memory:

- X and H lie side by side in one map of C_in + C channels, so that the candidate memory (13) is one
  depthwise and one pointwise convolution a step, and the pooled gates (10)-(12) one product.
- A step's gradients of the kernels are taken while its maps are in the cache. Only the gradients of
  H and C travel back in time; depthwise convolutions are computed again instead of being kept.
- tanh(z) = 2σ(2z) - 1: what is kept is s = σ(2Z) for the candidate memory, and the doubled cell
  state 2C, so that the 2s cost no passes of their own. In fp32 this is 2e-7 away from tanh.
- A sequence that starts from zeros has no hidden state to convolve in its first step.

Maps are (..., H, W, C) here, the order in memory of channels-last images. Convolutions run in the
dtype of ``x`` (or autocast's), everything else in fp32 or more.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gesture3d.models.autograd import first_order

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (grad, σ) → grad · σ(1 - σ)


class Weights(NamedTuple):
    """Those of variant (a), each for X and H side by side: ``in_channels + C`` in all."""

    gates: Float[Tensor, "gatesC CinC"]  # i, f, o
    gates_bias: Float[Tensor, " gatesC"]
    depthwise: Float[Tensor, "CinC 1 K K"]
    pointwise: Float[Tensor, "C CinC 1 1"]
    bias: Float[Tensor, " C"]


def has_plain_autograd(x: Tensor) -> bool:
    """Whether gradients written by hand apply: on a CPU, and nothing traces or transforms."""
    return (
        x.is_cpu
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
    )


class _CpuTanh(torch.autograd.Function):
    """tanh(x) as 2σ(2x) - 1: 2e-7 away in fp32, several times faster than PyTorch's on a CPU."""

    @staticmethod
    def forward(ctx, x):
        y = (2 * x).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grad, y)


def tanh(x: Tensor) -> Tensor:
    """The fast one, where its gradient applies."""
    return _CpuTanh.apply(x) if has_plain_autograd(x) else x.tanh()


def run_sequence(
    x: Float[Tensor, "B T Cin H W"],
    state: tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]] | None,
    weights: Weights,
) -> tuple[Float[Tensor, "B T C H W"], Float[Tensor, "B C H W"]]:
    """The hidden sequence and the last cell state.

    Gradients flow to all arguments, once: differentiating them again raises RuntimeError.
    """
    dtype = x.dtype
    if torch.is_autocast_enabled("cpu") and dtype != torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
    h = c = None
    if state is not None:
        h, c = state[0].to(dtype).movedim(1, -1), state[1].to(_full(dtype)).movedim(1, -1)
    with torch.autocast("cpu", enabled=False):
        x = x.to(dtype).movedim(2, -1)
        hidden, c = _Sequence.apply(torch.is_grad_enabled(), x, h, c, *weights)
    return hidden.movedim(-1, 2), c.movedim(-1, 1)


def pointwise_images(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N2 C 1 P"]:
    """The positions of channels-last images as at least 16 images, where they can be divided.

    On one thread PyTorch leaves fp32 1×1 convolutions of fewer than 16 images to a library that can
    be 2.5 × slower than oneDNN.
    """
    positions = images.movedim(1, -1).flatten(0, 2)  # (N·H·W, C)
    total = len(positions)
    number = next((n for n in range(16, total) if total % n == 0), total)
    return positions.view(number, 1, total // number, -1).movedim(-1, 1)


def _full(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _depthwise(maps: Tensor, weight: Tensor) -> Tensor:
    images = maps.movedim(-1, 1)
    return F.conv2d(images, weight, padding="same", groups=len(weight)).movedim(1, -1)


def _pointwise(maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    images = F.conv2d(pointwise_images(maps.movedim(-1, 1)), weight, bias)
    return images.movedim(1, -1).reshape(*maps.shape[:-1], len(weight))


def _kernel_gradient(grad: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    """Of a convolution with same padding; ``grad`` and ``images`` are (N, C, H, W)."""
    padding, groups = weight.shape[-1] // 2, images.shape[1] // weight.shape[1]
    conv = ([1, 1], [padding, padding], [1, 1], False, [0, 0], groups)  # stride ... groups
    mask = [False, True, False]
    return torch.ops.aten.convolution_backward(grad, images, weight, None, *conv, mask)[1]


def _side_by_side(x: Tensor, h: Tensor | None, out: Tensor) -> Tensor:
    """[X, H] in ``out``; X alone where there is no H."""
    return x.contiguous() if h is None else torch.cat([x, h], -1, out=out)


def _over_map(x: Float[Tensor, "B C3"]) -> tuple[Float[Tensor, "B 1 1 C"], ...]:
    return x[:, None, None].chunk(3, dim=-1)


class _Sequence(torch.autograd.Function):
    """(keep for backward?, x (B, T, H, W, Cin), h, c (B, H, W, C) or None, *Weights) → hidden, c"""

    @staticmethod
    def forward(ctx, keep, x, h, c, *weights):
        weights = Weights(*weights)
        batch, time, height, width, _ = x.shape
        channels, both = weights.pointwise.shape[:2]
        full = _full(x.dtype)
        depthwise = weights.depthwise.to(x.dtype)
        pointwise, bias = (2 * w.to(x.dtype) for w in (weights.pointwise, weights.bias))  # → 2Z
        kernel, gates_bias = weights.gates.to(full), weights.gates_bias.to(full)

        # Of all steps if they are kept, of one otherwise.
        steps = time if keep else 1
        s, c2 = (
            x.new_empty(steps, *x.shape[:1], *x.shape[2:4], channels, dtype=full) for _ in "sc"
        )
        hidden = x.new_empty(batch, time, height, width, channels)
        means = x.new_zeros(time, batch, both, dtype=full)  # (8), (9)
        gates = x.new_empty(time, batch, 3 * channels, dtype=full)
        side_by_side, u = x.new_empty(batch, height, width, both), torch.empty_like(s[0])

        h0, c0 = h, None if c is None else 2 * c
        previous = c0
        for t in range(time):
            n = both - channels if h is None else both
            xh = _side_by_side(x[:, t], h, side_by_side)
            means[t, :, :n] = xh.mean((1, 2), dtype=full)
            torch.sigmoid(torch.addmm(gates_bias, means[t, :, :n], kernel[:, :n].t()), out=gates[t])
            i, f, o = _over_map(gates[t])

            z2 = _pointwise(_depthwise(xh, depthwise[:n]), pointwise[:, :n], bias)
            k = t if keep else 0
            torch.sigmoid(z2.to(full), out=s[k])  # (13): G = 2s - 1
            if previous is None:
                torch.addcmul(-2 * i, 4 * i, s[k], out=c2[k])
            else:
                torch.addcmul(-2 * i, f, previous, out=c2[k]).addcmul_(4 * i, s[k])  # (14), twice
            previous = c2[k]
            h = torch.addcmul(-o, 2 * o, torch.sigmoid(c2[k], out=u), out=hidden[:, t])  # (15)
        if keep:
            ctx.save_for_backward(x, h0, c0, hidden, s, c2, gates, means, *weights)
        return hidden, previous / 2

    @staticmethod
    @first_order
    def backward(ctx, d_hidden, d_c):
        x, h0, c0, hidden, s, c2, gates, means, *weights = ctx.saved_tensors
        weights = Weights(*weights)
        _, time, height, width, in_channels = x.shape
        full = s.dtype
        depthwise, pointwise = weights.depthwise.to(x.dtype), weights.pointwise.to(x.dtype)
        transposed = pointwise.transpose(0, 1).contiguous()
        flipped = depthwise.flip(-1, -2)
        pooled_kernel = weights.gates.to(full) / (height * width)

        d_x = torch.empty_like(x)
        d_weights = Weights(*(torch.zeros_like(w, dtype=full) for w in weights))
        d_gates = torch.empty_like(gates)  # of their sums before the sigmoid
        d_h = d_hidden[:, -1].to(full, copy=True).contiguous()
        d_c2 = (d_c / 2).contiguous()
        d_z = torch.empty_like(d_c2, dtype=x.dtype)
        scratch, u = torch.empty_like(d_c2), torch.empty_like(d_c2)
        side_by_side = x.new_empty(*d_c2.shape[:3], len(depthwise))

        def dot(a: Tensor, b: Tensor) -> Float[Tensor, "B C"]:
            return torch.mul(a, b, out=scratch).sum((1, 2))

        for t in reversed(range(time)):
            i, f, o = _over_map(gates[t])
            # h = o (2u - 1), u = σ(2c)
            torch.sigmoid(c2[t], out=u)
            d_o = 2 * dot(d_h, u) - d_h.sum((1, 2))
            d_c2.addcmul_(_sigmoid_backward(d_h, u, grad_input=scratch), 2 * o)
            # 2c = f 2c_previous + 2i (2s - 1), s = σ(2z)
            previous = c2[t - 1] if t else c0
            d_f = torch.zeros_like(d_o) if previous is None else dot(d_c2, previous)
            d_i = 4 * dot(d_c2, s[t]) - 2 * d_c2.sum((1, 2))
            torch.mul(_sigmoid_backward(d_c2, s[t], grad_input=scratch), 8 * i, out=d_z)
            d_c2 *= f
            torch.mul(torch.cat([d_i, d_f, d_o], 1), gates[t] * (1 - gates[t]), out=d_gates[t])

            xh = _side_by_side(x[:, t], hidden[:, t - 1] if t else h0, side_by_side)
            n = xh.shape[-1]
            d_weights.bias.add_(d_z.sum((0, 1, 2), dtype=full))
            d_weights.pointwise[:, :n] += _kernel_gradient(
                pointwise_images(d_z.movedim(-1, 1)),
                pointwise_images(_depthwise(xh, depthwise[:n]).movedim(-1, 1)),
                pointwise[:, :n],
            )
            d_both = _pointwise(d_z, transposed[:n])
            d_weights.depthwise[:n] += _kernel_gradient(
                d_both.movedim(-1, 1), xh.movedim(-1, 1), depthwise[:n]
            )
            d_both = _depthwise(d_both, flipped[:n])
            d_mean = (d_gates[t] @ pooled_kernel[:, :n])[:, None, None]
            torch.add(d_both[..., :in_channels], d_mean[..., :in_channels], out=d_x[:, t])
            if n > in_channels:
                torch.add(d_both[..., in_channels:], d_mean[..., in_channels:], out=d_h)
            if t:
                d_h += d_hidden[:, t - 1]

        torch.mm(d_gates.flatten(0, 1).t(), means.flatten(0, 1), out=d_weights.gates)
        d_weights.gates_bias.copy_(d_gates.sum((0, 1)))
        d_h, d_c = (None, None) if h0 is None else (d_h, 2 * d_c2)
        return None, d_x, d_h, d_c, *d_weights
