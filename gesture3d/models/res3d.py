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
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gesture3d.models.conv3d import SafeConv3d


def scaled_channels(channels: int, width: float) -> int:
    """``channels · width``, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))


def init_he_normal(module: nn.Module) -> None:
    """Draw every convolution kernel inside ``module`` from N(0, 2 / fan-in) (He et al., 2015)."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(child.weight, nonlinearity="relu")


class Conv3x3x3(SafeConv3d):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """conv 3×3×3 - BN - ReLU - conv 3×3×3 - BN, plus the shortcut, then ReLU.

    The first block of a stage has a projection shortcut (1×1×1 convolution - BN), also where the
    shape does not change; the others add their input as it is.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, projection=False):
        super().__init__()
        self.conv1 = Conv3x3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm3d(out_channels)
        self.conv2 = Conv3x3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm3d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if projection:
            self.shortcut = nn.Sequential(
                SafeConv3d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm3d(out_channels),
            )

    def forward(self, x: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C2 T2 H2 W2"]:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))


class Res3D(nn.Module):
    """The front end: (B, in_channels, T, H, W) → (B, ``out_channels``, T', H', W').

    Every stride s maps a size n to ceil(n / s); all of them together are ``strides``. ``width``
    scales the channels 64, 128 and 256 (multiples of 8, at least 8). ``stem_stride`` other than the
    paper's (1, 2, 2), e.g. (2, 3, 3), makes small networks for small clips cheaper.

    Fastest on input in ``channels_last_3d`` memory, which all layers keep.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: float = 1.0,
        stem_stride: tuple[int, int, int] = (1, 2, 2),
    ):
        super().__init__()
        c1, c2, c3 = (scaled_channels(channels, width) for channels in (64, 128, 256))
        self.stem = nn.Sequential(
            SafeConv3d(in_channels, c1, (3, 7, 7), stem_stride, padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(c1),
            nn.ReLU(inplace=True),
        )
        self.stage1 = nn.Sequential(
            ResidualBlock(c1, c1, projection=True),
            ResidualBlock(c1, c1),
        )
        self.stage2 = nn.Sequential(
            ResidualBlock(c1, c2, stride=2, projection=True),
            ResidualBlock(c2, c2),
        )
        self.stage3 = nn.Sequential(
            ResidualBlock(c2, c3, projection=True),
            ResidualBlock(c3, c3),
        )
        self.out_channels = c3
        self.strides = tuple(2 * stride for stride in stem_stride)  # of T, H, W
        init_he_normal(self)

    def output_size(self, *size: int) -> tuple[int, ...]:
        """(T', H', W') for an input of (T, H, W)."""
        return tuple(math.ceil(n / s) for n, s in zip(size, self.strides, strict=True))

    def forward(
        self, x: Float[Tensor, "B C T H W"], recompute: bool = False
    ) -> Float[Tensor, "B C2 T2 H2 W2"]:
        """``recompute`` keeps only the blocks' inputs for the backward pass (`recomputed`)."""
        if recompute:
            for block in (self.stem, *self.stage1, *self.stage2, *self.stage3):
                x = recomputed(block, x)
            return x
        x = self.stem(x)
        x = self.stage1(x)
        x = self.stage2(x)
        return self.stage3(x)


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)`` of which nothing but x is kept: the backward pass computes the rest once more
    (gradient checkpointing). Batch norms count the batch in their running statistics once.
    """

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _statistics_untouched(block)

    return checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


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
