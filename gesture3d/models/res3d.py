"""Res3D, blocks 1-4: the 3-D convolutional front end that learns short-term features.

Tran et al., "ConvNet Architecture Search for Spatiotemporal Feature Learning", 2017, as modified in
section 2.1 of Zhang et al., "Attention in Convolutional LSTM for Gesture Recognition", NeurIPS
2018: time shrinks by 2 and space by 4 only, so that the recurrent layers see large maps.

    clip 16 × 112 × 112 × 3
    → stem      64 filters 3×7×7, stride (1, 2, 2)          16 × 56 × 56 × 64
    → stage 1   2 residual blocks                           16 × 56 × 56 × 64
    → stage 2   2 residual blocks, the first of stride 2     8 × 28 × 28 × 128
    → stage 3   2 residual blocks                            8 × 28 × 28 × 256
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gesture3d.models.conv3d import CausalConv3d, SafeConv3d
from gesture3d.models.online import Carried, Shapes


def scaled_channels(channels: int, width: float) -> int:
    """``channels · width``, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def init_he_normal(module: nn.Module) -> None:
    """Draw every convolution kernel inside ``module`` from N(0, 2 / fan-in) (He et al., 2015)."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(child.weight, nonlinearity="relu")


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    causal: bool = False,
) -> SafeConv3d:
    """Padded by half the kernel; where it is causal, in time on the past side only."""
    padding = tuple(size // 2 for size in kernel_size)
    kind = CausalConv3d if causal else SafeConv3d
    return kind(in_channels, out_channels, tuple(kernel_size), tuple(stride), padding, bias=False)


class Carrying(nn.Sequential):
    """A sequence of modules, some of which carry state from step to step (`online`)."""

    def forward(self, x: Tensor, carried: Carried | None = None) -> Tensor:
        for module in self:
            carries = isinstance(module, SafeConv3d | ResidualBlock)
            x = module(x, carried) if carries else module(x)
        return x


class ResidualBlock(nn.Module):
    """conv 3×3×3 - BN - ReLU - conv 3×3×3 - BN, plus the shortcut, then ReLU.

    The first block of a stage has a projection shortcut (1×1×1 convolution - BN), also where the
    shape does not change; the others add their input as it is.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        projection: bool = False,
        causal: bool = False,
    ):
        super().__init__()
        size, strides = (3, 3, 3), (stride, stride, stride)
        self.conv1 = convolution(in_channels, out_channels, size, strides, causal)
        self.bn1 = nn.BatchNorm3d(out_channels)
        self.conv2 = convolution(out_channels, out_channels, size, (1, 1, 1), causal)
        self.bn2 = nn.BatchNorm3d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if projection:
            self.shortcut = nn.Sequential(
                convolution(in_channels, out_channels, (1, 1, 1), strides, causal),
                nn.BatchNorm3d(out_channels),
            )

    def forward(
        self, x: Float[Tensor, "B C T H W"], carried: Carried | None = None
    ) -> Float[Tensor, "B C2 T2 H2 W2"]:
        y = self.relu(self.bn1(self.conv1(x, carried)))
        y = self.bn2(self.conv2(y, carried))
        return self.relu(y + self.shortcut(x))


class Res3D(nn.Module):
    """The front end: (B, in_channels, T, H, W) → (B, ``out_channels``, T', H', W').

    Every stride s maps a size n to ceil(n / s); all of them together are ``strides``. ``width``
    scales the channels 64, 128 and 256 (multiples of 8, at least 8). ``stem_stride`` other than the
    paper's (1, 2, 2), e.g. (2, 3, 3), makes small networks for small clips cheaper.

    ``causal``: no output depends on later frames, see `CausalConv3d`; T shrinks to floor(T / s).

    Fastest on input in ``channels_last_3d`` memory, which all layers keep.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: float = 1.0,
        stem_stride: tuple[int, int, int] = (1, 2, 2),
        causal: bool = False,
    ):
        super().__init__()
        c1, c2, c3 = (scaled_channels(channels, width) for channels in (64, 128, 256))
        self.stem = Carrying(
            convolution(in_channels, c1, (3, 7, 7), stem_stride, causal),
            nn.BatchNorm3d(c1),
            nn.ReLU(inplace=True),
        )
        self.stage1 = Carrying(
            ResidualBlock(c1, c1, projection=True, causal=causal),
            ResidualBlock(c1, c1, causal=causal),
        )
        self.stage2 = Carrying(
            ResidualBlock(c1, c2, stride=2, projection=True, causal=causal),
            ResidualBlock(c2, c2, causal=causal),
        )
        self.stage3 = Carrying(
            ResidualBlock(c2, c3, projection=True, causal=causal),
            ResidualBlock(c3, c3, causal=causal),
        )
        self.causal = causal
        self.out_channels = c3
        self.strides = tuple(2 * stride for stride in stem_stride)  # of T, H, W
        init_he_normal(self)

    def output_size(self, *size: int) -> tuple[int, ...]:
        """(T', H', W') for an input of (T, H, W)."""
        time, *others = zip(size, self.strides, strict=True)
        steps = time[0] // time[1] if self.causal else math.ceil(time[0] / time[1])
        return steps, *(math.ceil(n / s) for n, s in others)

    def past_shapes(self, batch: int, height: int, width: int) -> Shapes:
        """Of what the causal convolutions carry, for frames of this size."""
        shapes = []
        for conv in self.modules():  # in the order in which they run
            if not isinstance(conv, CausalConv3d) or conv.kernel_size == (1, 1, 1):
                continue
            if conv.past_frames:
                shapes.append((batch, conv.in_channels, conv.past_frames, height, width))
            height, width = -(-height // conv.stride[1]), -(-width // conv.stride[2])
        return shapes

    def forward(
        self,
        x: Float[Tensor, "B C T H W"],
        recompute: bool = False,
        carried: Carried | None = None,
    ) -> Float[Tensor, "B C2 T2 H2 W2"]:
        """``recompute`` keeps only the blocks' inputs for the backward pass (`recomputed`)."""
        if recompute:
            for block in (self.stem, *self.stage1, *self.stage2, *self.stage3):
                x = recomputed(block, x, carried)
            return x
        for stage in (self.stem, self.stage1, self.stage2, self.stage3):
            x = stage(x, carried)
        return x


def recomputed(block: nn.Module, x: Tensor, carried: Carried | None = None) -> Tensor:
    """``block(x)`` of which nothing but x is kept: the backward pass computes the rest once more
    (gradient checkpointing). Batch norms count the batch in their running statistics once.

    Args:
        carried: of a block that takes it; what the block carries is kept, too.
    """
    count = sum(getattr(module, "past_frames", 0) > 0 for module in block.modules())
    past = carried.split(count) if carried else []

    def with_past(x: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        part = Carried(past)
        return block(x, part), *part.state

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _statistics_untouched(block)

    run = with_past if past else block
    options = {"use_reentrant": False, "preserve_rng_state": False, "context_fn": contexts}
    found = checkpoint(run, x, *past, **options)
    if not past:
        return found
    carried.join(found[1:])
    return found[0]


@contextmanager
def _statistics_untouched(block: nn.Module) -> Iterator[None]:
    """A second pass over the same batch, which the norms' running statistics ignore."""
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked -= 1
