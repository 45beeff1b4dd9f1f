"""torchvision's video ResNet-18 with other channels and strides (apart: its import is slow)."""

from torch import nn
from torchvision.models.video.resnet import BasicBlock, Conv3DSimple, VideoResNet

from gesture3d.models.conv3d import SafeConv3d
from gesture3d.models.res3d import scaled_channels


class ScaledResNet(VideoResNet):
    """Of ``width`` times the channels, which torchvision fixes, and right in bf16 on a CPU."""

    def __init__(self, num_classes: int, width: float, in_channels: int, stem_stride: tuple):
        def stem() -> nn.Sequential:
            channels = scaled_channels(64, width)
            kernel, padding = (3, 7, 7), (1, 3, 3)
            conv = SafeConv3d(in_channels, channels, kernel, stem_stride, padding, bias=False)
            return nn.Sequential(conv, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))

        self.width = width
        super().__init__(BasicBlock, [Conv3DSimple] * 4, [2, 2, 2, 2], stem, num_classes)
        self.fc = nn.Linear(scaled_channels(512, width), num_classes)
        nn.init.normal_(self.fc.weight, 0, 0.01)
        nn.init.zeros_(self.fc.bias)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                module.__class__ = SafeConv3d  # the same weights, drawn in the same order

    def _make_layer(self, block, conv, channels: int, *args, **kwargs) -> nn.Sequential:
        if channels == 64:
            self.inplanes = scaled_channels(64, self.width)
        channels = scaled_channels(channels, self.width)
        return super()._make_layer(block, conv, channels, *args, **kwargs)
