"""A small 1-D convolutional network: what the residual LSTM has to be compared with."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gesture3d.models.inertial_inputs import InertialInputs, InertialNetwork
from gesture3d.models.sequence import no_autocast


class Cnn1d(InertialNetwork):
    """``model(windows)``: (B, T, D) in physical units → scores (B, classes), as logits.

    For each of ``widths`` a convolution over ``kernel_size`` steps, batch norm and ReLU; the time
    axis is halved between them by a maximum. Then mean and maximum over time, dropout, classifier.
    See `InertialInputs` for ``magnitudes``, ``log_scales`` and ``input_std``.

    Raises:
        Gesture3dError: channels that do not fit these arguments.
    """

    head = "classifier"

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        widths: Sequence[int] = (64, 128, 128),
        kernel_size: int = 7,
        dropout: float = 0.5,
        magnitudes: bool = False,
        log_scales: Sequence[float] = (),
        input_std: float = 1.0,
    ):
        super().__init__()
        self.inputs = InertialInputs(num_features, magnitudes, log_scales, input_std)
        self.convolutions = nn.ModuleList()
        channels = self.inputs.num_channels
        for width in widths:
            convolution = nn.Conv1d(
                channels, width, kernel_size, padding=kernel_size // 2, bias=False
            )
            self.convolutions.append(
                nn.Sequential(convolution, nn.BatchNorm1d(width), nn.ReLU(inplace=True))
            )
            channels = width
        self.pool = nn.MaxPool1d(2, ceil_mode=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * channels, num_classes)

    def forward(
        self, windows: Float[Tensor, "B T D"], lengths: Tensor | None = None
    ) -> Float[Tensor, "B classes"]:
        with no_autocast(windows.device):
            x = self.inputs(windows.float(), lengths).transpose(1, 2)  # (B, C, T)
            for number, convolution in enumerate(self.convolutions):
                x = convolution(self.pool(x) if number else x)
            x = torch.cat([x.mean(2), x.amax(2)], 1)  # (B, 2·C)
            return self.classifier(self.dropout(x))
