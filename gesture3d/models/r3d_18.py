"""R3D-18, torchvision's plain 3-D residual network: a peer that has no recurrent layer.

Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gesture3d.models.gesture_net import ClipNetwork, Clips, Preprocessing


class R3D18(ClipNetwork):
    """``model(clips)``: (B, T, C, H, W) of pixels 0..255, uint8 or float → scores (B, classes).

    The network, its initial weights and the names of its parameters (behind ``network.``) are those
    of ``torchvision.models.video.r3d_18``, so its weights load; the stem takes ``in_channels``.
    ``width`` scales its channels (64, 128, 256, 512), and ``stem_stride`` are the stem's steps: a
    fair peer has both from the `GestureNet` beside it. Preprocessing is `GestureNet`'s.
    A wrong number of channels raises ValueError.
    """

    head = "network.fc"

    def __init__(
        self,
        num_classes: int,
        width: float = 1.0,
        in_channels: int = 3,
        stem_stride: Sequence[int] = (1, 2, 2),
        preprocessing: str = "channel_mean",
        channel_means: Sequence[float] = (114.0, 109.0, 104.0),
        pixel_scale: float = 1.0,
        local_contrast: bool = False,
        mean_frames: int = 48,
        differences: bool = False,
        stabilise: bool = False,
    ):
        from gesture3d.models.torchvision_resnet import ScaledResNet

        super().__init__()
        self.in_channels = in_channels
        self.preprocessing = Preprocessing(
            preprocessing,
            in_channels,
            channel_means,
            pixel_scale,
            local_contrast,
            mean_frames,
            differences,
            stabilise,
        )
        channels = self.preprocessing.out_channels
        self.network = ScaledResNet(num_classes, width, channels, tuple(stem_stride))

    def forward(self, clips: Clips, lengths: Tensor | None = None) -> Float[Tensor, "B classes"]:
        """``lengths`` is ignored: a batch holds clips sampled to the same number of frames."""
        self.check(clips.shape)
        scores = self.network(self.preprocessing(clips, self.network.fc.weight.dtype))
        return scores.to(torch.promote_types(scores.dtype, torch.float32))
