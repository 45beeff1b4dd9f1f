"""The top layers of MobileNet, which deepen the features of each time step on its own.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
2017; which layers, and their strides: the code of Zhang et al., "Attention in Convolutional LSTM
for Gesture Recognition", NeurIPS 2018 (figure 1).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gesture3d.models.res3d import init_he_normal, recomputed, scaled_channels

# (channels, stride) of each block at full width: 28 → 28 → 14 → ... → 14 → 7 → 4.
BLOCKS = ((256, 1), (256, 2), *[(512, 1)] * 5, (1024, 2), (1024, 2))


class DepthwiseConv2d(nn.Conv2d):
    """A 3×3 kernel for each channel. Stays in fp32 under autocast on a CPU when it has a stride:
    there oneDNN's bf16 gradient is many times slower.
    """

    def __init__(self, channels: int, stride: int):
        super().__init__(channels, channels, 3, stride, padding=1, groups=channels, bias=False)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H2 W2"]:
        if x.is_cpu and self.stride != (1, 1) and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.to(self.weight.dtype))
        return super().forward(x)


class SeparableBlock(nn.Sequential):
    """depthwise 3×3 - BN - ReLU6 - pointwise 1×1 - BN - ReLU6.

    ``skip`` adds the input before the last ReLU6, without parameters (He et al., "Deep Residual
    Learning for Image Recognition", CVPR 2016, shortcuts of kind A): a strided block's as the mean
    of each ``stride`` × ``stride`` window, that of one with more channels filled up with zeros.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, skip: bool = False):
        super().__init__(
            DepthwiseConv2d(in_channels, stride),
            nn.BatchNorm2d(in_channels),
            nn.ReLU6(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU6(inplace=True),
        )
        self.skip = skip
        self.stride, self.more_channels = stride, out_channels - in_channels

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C2 H2 W2"]:
        if not self.skip:
            return super().forward(x)
        *layers, relu = self
        y = x
        for layer in layers:
            y = layer(y)
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride, ceil_mode=True)
        if self.more_channels:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.more_channels))
        return relu(y + x)


class MobileNetTop(nn.Sequential):
    """(N, in_channels, H, W) → (N, ``out_channels``, H / 8, W / 8), sizes rounded up, 1 at least.

    N is batch × time: the paper's network applies the block to every time step separately.
    ``skip``, which the paper's does not have, see `SeparableBlock`. Fastest on input in
    ``channels_last`` memory.
    """

    def __init__(self, in_channels: int = 256, width: float = 1.0, skip: bool = False):
        blocks = []
        for channels, stride in BLOCKS:
            out_channels = scaled_channels(channels, width)
            blocks.append(SeparableBlock(in_channels, out_channels, stride, skip))
            in_channels = out_channels
        super().__init__(*blocks)
        self.out_channels = in_channels
        init_he_normal(self)

    def forward(
        self, x: Float[Tensor, "N C H W"], recompute: bool = False
    ) -> Float[Tensor, "N C2 H2 W2"]:
        """``recompute`` keeps only the blocks' inputs for the backward pass (`recomputed`)."""
        for block in self:
            x = recomputed(block, x) if recompute else block(x)
        return x
