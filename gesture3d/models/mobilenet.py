"""The top layers of MobileNet, which deepen the features of each time step on its own.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
2017; which layers, and their strides: the code of Zhang et al., "Attention in Convolutional LSTM
for Gesture Recognition", NeurIPS 2018 (figure 1).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
    """depthwise 3×3 - BN - ReLU6 - pointwise 1×1 - BN - ReLU6."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(
            DepthwiseConv2d(in_channels, stride),
            nn.BatchNorm2d(in_channels),
            nn.ReLU6(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU6(inplace=True),
        )


class MobileNetTop(nn.Sequential):
    """(N, in_channels, H, W) → (N, ``out_channels``, H / 8, W / 8), sizes rounded up, 1 at least.

    N is batch × time: the paper's network applies the block to every time step separately. Fastest
    on input in ``channels_last`` memory.
    """

    def __init__(self, in_channels: int = 256, width: float = 1.0):
        blocks = []
        for channels, stride in BLOCKS:
            out_channels = scaled_channels(channels, width)
            blocks.append(SeparableBlock(in_channels, out_channels, stride))
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
