"""3-D convolutions that are right, and do not crash, in bf16 on every CPU.

oneDNN's own bf16 3-D convolutions are not: where a clip is shorter than the kernel, the kernel's
gradient holds what lay in memory (NaN for two frames with AVX-512, for one with AMX); with AMX the
backward pass writes out of bounds on maps from about 75 × 75 on, and before that the gradient of
kernels of many channels is wrong or NaN for few frames. Of torch alone, 2.15:

    import torch           # LD_PRELOAD=libc_malloc_debug.so.0 MALLOC_CHECK_=3 python this.py
    for size, frames in [(8, 2), (8, 1), (112, 4), (224, 4)]:
        for _ in range(20):
            conv = torch.nn.Conv3d(8, 8, 3, padding=1, bias=False)
            x = torch.randn(4, 8, frames, size, size).to(memory_format=torch.channels_last_3d)
            _ = [torch.full((n,), torch.nan) for n in (100, 1000, 10_000, 100_000) * 6]
            with torch.autocast("cpu", torch.bfloat16):
                y = conv(x.requires_grad_())
            y.float().square().sum().backward()
            assert conv.weight.grad.isfinite().all(), (frames, size)

With AVX-512 and bf16 it ends at two frames of 8 × 8, with AMX in a corrupted heap at 112 × 112 (on
a Xeon of family 6, model 207, from 96 × 96 on). Hundreds of shapes beside fp32 there: gradients of
3 × 3 × 3 kernels of 64 channels over three frames of 48 × 48, and of 256 channels over 28 × 28,
differ by a fifth and more, or are NaN; none that has fewer than 3,072 channels times pixels of the
longer side (64 × 48) does. `AMX_SIDE` and `AMX_WORK` keep far from both. Forward passes alone were
right for every shape, and left memory whole.

In fp32, PyTorch leaves single small clips to a convolution of its own that is up to seven times
slower (16 channels, 8 frames of 16 × 16: 1.4 ms against 0.2, one thread of a Zen 5).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gesture3d.machine import has_amx
from gesture3d.models.convlstm_sequence import has_plain_autograd
from gesture3d.models.online import Carried

AMX = has_amx()
AMX_SIDE, AMX_WORK = 48, 1024  # pixels of the longer side; times channels: safe up to here


class SafeConv3d(nn.Conv3d):
    """`nn.Conv3d` without dilation and groups.

    In bf16 (or fp16) on a CPU it is a sum of 2-D convolutions where oneDNN's own is unsafe: for
    clips shorter than the kernel, and to train with AMX, but for small maps of few channels.
    Elsewhere these take up to a third longer than oneDNN's own (with AMX half as long again), which
    is used there; 1 × 1 × 1 kernels take the same time, and are always 2-D. Maps smaller than the
    kernel are convolved in fp32: there the 2-D gradients of kernels with steps may be NaN, too.
    """

    def forward(
        self, x: Float[Tensor, "B C T H W"], carried: Carried | None = None
    ) -> Float[Tensor, "B C2 T2 H2 W2"]:
        is_small = any(side < k for side, k in zip(x.shape[3:], self.kernel_size[1:], strict=True))
        if x.is_cpu and (is_small or self._is_unsafe(x)):
            dtype = x.dtype
            if torch.is_autocast_enabled("cpu") and dtype != torch.float64:
                dtype = torch.get_autocast_dtype("cpu")
            if dtype in (torch.bfloat16, torch.float16):
                with torch.autocast("cpu", enabled=False):
                    if is_small:
                        weight = self.weight.float()
                        y = F.conv3d(x.float(), weight, None, self.stride, self.padding).to(dtype)
                    else:
                        weight = self.weight.to(dtype)
                        y = sum_of_2d(x.to(dtype), weight, self.stride, self.padding)
                    return y if self.bias is None else y + self.bias.to(dtype)[:, None, None, None]
        if self._is_slow(x):
            geometry = (self.padding, self.stride, self.dilation, self.groups)
            return torch.mkldnn_convolution(x, self.weight, self.bias, *geometry)
        return super().forward(x)

    def _is_slow(self, x: Tensor) -> bool:
        """Whether PyTorch would not ask oneDNN, which is faster: 1 × 1 × 1 kernels are products."""
        if x.dtype != torch.float32 or self.kernel_size == (1, 1, 1) or not _can_ask_onednn(x):
            return False
        return x.shape[0] == 1

    def _is_unsafe(self, x: Tensor) -> bool:
        if x.shape[2] < self.kernel_size[0] or self.kernel_size == (1, 1, 1):
            return True
        side = max(x.shape[3:])
        work = side * max(self.in_channels, self.out_channels)
        if not AMX or not (side > AMX_SIDE or work > AMX_WORK):
            return False
        return torch.compiler.is_compiling() or not torch.is_inference_mode_enabled()


class CausalConv3d(SafeConv3d):
    """One that pads time on the past side only: frame t' of the result ends with the frame
    (t' + 1) · stride - 1 of ``x``, the newest of its ``stride`` frames.

    It carries the last ``past_frames`` = kernel - stride frames. Where the stride is larger (as in
    a strided 1×1×1 shortcut), the first frames of each ``stride`` are not read. Frames that are
    fewer than a stride at the end have no result.

    A step of a stream on a CPU, a few frames, is one 2-D convolution: PyTorch's 3-D one is up to
    seven times slower there (64 channels of 56 × 56, one thread of a Zen 5, torch 2.15).
    ``in_2d`` is whether it always is, or never; None: as it is faster.
    """

    FEW_FRAMES = 8  # of the result, in all clips
    in_2d: bool | None = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int, int],
        stride: tuple[int, int, int],
        padding: tuple[int, int, int],
        bias: bool = False,
    ):
        padding = (0, *padding[1:])
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self.past_frames = max(self.kernel_size[0] - self.stride[0], 0)
        self.skipped_frames = max(self.stride[0] - self.kernel_size[0], 0)

    def forward(
        self, x: Float[Tensor, "B C T H W"], carried: Carried | None = None
    ) -> Float[Tensor, "B C2 T2 H2 W2"]:
        if self.past_frames:
            carried = carried or Carried()
            past = carried.take(x, (*x.shape[:2], self.past_frames, *x.shape[3:]))
            x = torch.cat([past, x], 2)
            carried.leave(x[:, :, -self.past_frames :], torch.channels_last_3d)
        x = x[:, :, self.skipped_frames :]
        count = (x.shape[2] - self.kernel_size[0]) // self.stride[0] + 1
        in_2d = self._is_faster_in_2d(x, count) if self.in_2d is None else self.in_2d
        return self._in_2d(x, count) if in_2d else super().forward(x)

    def _is_faster_in_2d(self, x: Tensor, count: int) -> bool:
        is_short = self.past_frames and count * x.shape[0] <= self.FEW_FRAMES
        return bool(is_short) and x.is_cpu and not torch.is_grad_enabled()

    def _in_2d(self, x: Float[Tensor, "B C T H W"], count: int) -> Float[Tensor, "B C2 T2 H2 W2"]:
        """The frames that the kernel covers side by side, as channels."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        last = (count - 1) * stride + 1
        frames = x.movedim(1, -1)  # (B, T, H, W, C)
        covered = torch.cat([frames[:, k : k + last : stride] for k in range(kernel)], -1)
        weight = self.weight.movedim((2, 1), (3, 4)).flatten(3).movedim(3, 1)  # (C2, KT·C, KH, KW)
        images = covered.flatten(0, 1).movedim(-1, 1)
        if self._is_slow(images):
            geometry = (self.padding[1:], self.stride[1:], (1, 1), 1)
            y = torch.mkldnn_convolution(images, weight, self.bias, *geometry)
        else:
            y = F.conv2d(images, weight, self.bias, self.stride[1:], self.padding[1:])
        return _clips(y, x.shape[0])


def _can_ask_onednn(x: Tensor) -> bool:
    """Whether convolutions can be left to oneDNN by name: nothing traces them or casts."""
    if not has_plain_autograd(x) or torch.is_autocast_enabled("cpu"):
        return False
    return torch.backends.mkldnn.is_available()


def sum_of_2d(
    x: Float[Tensor, "B C T H W"],
    weight: Float[Tensor, "C2 C KT KH KW"],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> Float[Tensor, "B C2 T2 H2 W2"]:
    """A 3-D convolution as one 2-D convolution of the frames for each of the kernel's KT slices.

    Nothing but its arguments is kept for the backward pass; compiled code chooses itself.
    """
    run = _SumOf2D.apply if has_plain_autograd(x) else _sum_of_2d
    return run(x, weight, stride, padding)


def _sum_of_2d(x: Tensor, weight: Tensor, stride: tuple, padding: tuple) -> Tensor:
    y = None
    for k, after, before, step in _slices(x, weight, stride, padding[0]):
        part = F.conv2d(_images(x[before]), _slice(weight, k), None, step, padding[1:])
        part = _clips(part, len(x))
        if y is None:
            y = part
        else:
            y[after] += part
    return y


class _SumOf2D(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return _sum_of_2d(x, weight, stride, padding)

    @staticmethod
    def backward(ctx, d_y):
        x, weight = ctx.saved_tensors
        to_x, to_weight, *_ = ctx.needs_input_grad
        d_x = torch.zeros_like(x) if to_x else None
        d_weight = torch.zeros_like(weight) if to_weight else None
        for k, after, before, step in _slices(x, weight, ctx.stride, ctx.padding[0]):
            images = _images(d_y[after]), _images(x[before]), _slice(weight, k)
            conv = (step, ctx.padding[1:], [1, 1], False, [0, 0], 1)  # stride ... groups
            part, d_slice, _ = torch.ops.aten.convolution_backward(
                *images, None, *conv, [to_x, to_weight, False]
            )
            if to_x:
                d_x[before] += _clips(part, len(x))
            if to_weight:
                d_weight[:, :, k] = d_slice
        return d_x, d_weight, None, None


def _slices(
    x: Tensor, weight: Tensor, stride: tuple, padding: int
) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...], tuple[int, int]]]:
    """Of each slice of a kernel: its number, what of the result it adds to, what of ``x`` it reads,
    and the steps that it does over that.

    The one behind the padding is the first, and adds to all frames; those that only read padding
    are left out.
    The steps of 1 × 1 kernels are done by reading fewer positions: with steps of their own their
    bf16 gradient writes out of bounds, with AVX-512 alone (8 channels, 2 frames of 112 × 112).
    """
    frames, kernel, (time_step, *step) = x.shape[2], weight.shape[2], stride
    positions = (slice(None), slice(None))
    if weight.shape[3:] == (1, 1):
        positions, step = tuple(slice(None, None, n) for n in step), [1, 1]
    count = (frames + 2 * padding - kernel) // time_step + 1
    for k in sorted(range(kernel), key=lambda k: abs(k - padding)):
        shift = k - padding  # frame t is made of the frame t · time_step + shift
        first = max(0, -(shift // time_step))
        last = min(count - 1, (frames - 1 - shift) // time_step)
        if first <= last:
            after = slice(first, last + 1)
            before = slice(first * time_step + shift, last * time_step + shift + 1, time_step)
            yield k, (..., after, *2 * [slice(None)]), (..., before, *positions), step


def _slice(weight: Float[Tensor, "C2 C KT KH KW"], k: int) -> Float[Tensor, "C2 C KH KW"]:
    return weight[:, :, k].contiguous(memory_format=torch.channels_last)


def _images(clips: Float[Tensor, "B C T H W"]) -> Float[Tensor, "N C H W"]:
    return clips.transpose(1, 2).flatten(0, 1)


def _clips(images: Float[Tensor, "N C H W"], batch: int) -> Float[Tensor, "B C T H W"]:
    return images.unflatten(0, (batch, -1)).transpose(1, 2)
