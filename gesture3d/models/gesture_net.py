"""The whole network, from pixels to class scores: Res3D → ConvLSTM layers → MobileNet → classifier.

Zhang et al., "Attention in Convolutional LSTM for Gesture Recognition", NeurIPS 2018, figure 1.
"""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gesture3d.models.convlstm import ConvLSTM
from gesture3d.models.mobilenet import MobileNetTop
from gesture3d.models.network import Network
from gesture3d.models.online import Carried, OnlineNetwork, Shapes
from gesture3d.models.res3d import Res3D, scaled_channels
from gesture3d.models.sequence import no_autocast
from gesture3d.models.stabilise import stabilised

Clips = UInt8[Tensor, "B T C H W"] | Float[Tensor, "B T C H W"]


class Preprocessing(nn.Module):
    """Pixels 0..255 in (B, T, C, H, W), uint8 or float → floats in (B, C, T, H, W).

    ``channel_mean``: (pixel - the channel's mean) / ``pixel_scale``, the authors' recipe (Jester
    RGB 114, 109, 104). ``clip_mean``: (pixel - its mean over the clip's frames) / ``pixel_scale``:
    whatever does not move cancels, which helps small networks and short trainings a lot, but not
    under camera shake. ``running_mean``: the same without the future: (pixel - its running mean up
    to this frame) / ``pixel_scale``, where frame t of the stream counts max(1 / t,
    1 / ``mean_frames``): the plain mean at first, then an exponential one.

    ``differences`` appends to the channels those of (pixel - the same one frame before) /
    ``pixel_scale``, 0 in the first frame: a hand that is held still fades from a running mean.

    ``pixel_scale=1`` is the authors' input. The stem's batch norm cancels a constant factor, so the
    scale hardly matters there; 64 gives values of about unit variance.

    ``local_contrast``: before that, each channel of each frame loses its local mean and is divided
    by its local standard deviation (of at least about ``MIN_STD`` grey levels), and multiplied by
    64. Exposure, contrast and white balance may then drift within the clip, and light may fall
    unevenly. Local is a window of half the frame's sides, from means of ``CELLS`` × ``CELLS`` cells
    (as in local contrast normalisation, Jarrett et al., ICCV 2009). Not for optical flow, whose
    zero it would move.

    ``stabilise``, behind that and before the mean over the clip: the camera's motion is taken out,
    see `stabilise`. It needs whole clips and ``local_contrast``.
    """

    MIN_STD = 8.0
    CELLS = 6

    def __init__(
        self,
        mode: str,
        in_channels: int,
        channel_means: Sequence[float],
        scale: float,
        local_contrast: bool = False,
        mean_frames: int = 48,
        differences: bool = False,
        stabilise: bool = False,
    ):
        super().__init__()
        if stabilise and (mode != "clip_mean" or not local_contrast):
            raise ValueError("stabilise needs preprocessing clip_mean and local_contrast")
        if mode not in ("channel_mean", "clip_mean", "running_mean"):
            raise ValueError(
                f"preprocessing must be channel_mean, clip_mean or running_mean, not {mode!r}"
            )
        if mode == "channel_mean" and len(channel_means) not in (1, in_channels):
            raise ValueError(
                f"channel_means must have 1 value or one for each of {in_channels} channels, "
                f"not {len(channel_means)}"
            )
        self.mode = mode
        self.scale = scale
        self.local_contrast, self.stabilise = local_contrast, stabilise
        self.mean_frames, self.differences = mean_frames, differences
        self.out_channels = in_channels * (2 if differences else 1)
        means = torch.tensor(channel_means, dtype=torch.float32)
        self.register_buffer("channel_means", means, persistent=False)

    def state_shapes(self, batch: int, height: int, width: int) -> Shapes:
        """Of the number of frames so far, and what they leave."""
        channels = self.out_channels // (2 if self.differences else 1)
        maps = (self.mode == "running_mean") + self.differences
        return [(batch,)] * (maps > 0) + [(batch, height, width, channels)] * maps

    def forward(
        self, clips: Clips, dtype: torch.dtype, carried: Carried | None = None
    ) -> Float[Tensor, "B C2 T H W"]:
        x = clips.permute(0, 1, 3, 4, 2).contiguous()  # (B, T, H, W, C), still one byte a value
        x = x.to(dtype)
        if self.local_contrast:
            x = self._local_contrast(x)
        if self.stabilise:
            with no_autocast(x.device):
                x = stabilised(x)
        if self.mode == "running_mean" or self.differences:
            x = self._since_before(x, carried or Carried())
        else:
            x = (x - self._mean(x)).div_(self.scale)
        return x.permute(0, 4, 1, 2, 3)  # (B, C, T, H, W) in channels_last_3d memory

    def _mean(self, x: Float[Tensor, "B T H W C"]) -> Tensor:
        return x.mean(1, keepdim=True) if self.mode == "clip_mean" else self.channel_means.to(x)

    def _since_before(
        self, x: Float[Tensor, "B T H W C"], carried: Carried
    ) -> Float[Tensor, "B T H W C2"]:
        """What depends on the frames before."""
        batch, time, *frame = x.shape
        count = carried.take(x, (batch,)).view(-1, 1, 1, 1)
        first = count == 0
        parts = []
        counts = [count := (count + 1).clamp(max=self.mean_frames) for _ in range(time)]
        carried.leave(count.flatten())
        if self.mode == "running_mean":
            mean = carried.take(x, (batch, *frame))
            means = [mean := mean.lerp(x[:, t], 1 / n) for t, n in enumerate(counts)]
            carried.leave(mean)
            parts.append(x - torch.stack(means, 1))
        else:
            parts.append(x - self._mean(x))
        if self.differences:
            before = carried.take(x, (batch, *frame))
            before = torch.where(first, x[:, 0], before)
            parts.append(x - torch.cat([before[:, None], x[:, :-1]], 1))
            carried.leave(x[:, -1])
        return torch.cat(parts, -1).div_(self.scale)

    def _local_contrast(self, clips: Float[Tensor, "B T H W C"]) -> Float[Tensor, "B T H W C"]:
        x = clips.flatten(0, 1)  # (N, H, W, C)
        sides = _local_mean if torch.compiler.is_compiling() else _local_mean_once
        (mean_h, spread_h), (mean_w, spread_w) = (
            [torch.from_numpy(side).to(x) for side in sides(size, self.CELLS)]
            for size in x.shape[1:3]
        )

        def local_mean(y: Tensor) -> Tensor:
            cells = (mean_h @ y.flatten(2)).unflatten(2, y.shape[2:])  # (N, cells, W, C)
            rows = spread_w @ (mean_w @ cells)
            return (spread_h @ rows.flatten(2)).view_as(y)

        with no_autocast(x.device):
            x = x - local_mean(x)
            x = x * (64 / (local_mean(x.square()).sqrt() + self.MIN_STD))
        return x.view_as(clips)


def _local_mean(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one side: (cells, size), means of each cell and those beside it, and (size, cells),
    what lies between the cells' middles linearly, as PyTorch's adaptive pooling, pooling and
    interpolation have it; float64."""
    means = np.zeros((cells, size))
    for cell in range(cells):
        first, last = cell * size // cells, -(-(cell + 1) * size // cells)
        means[cell, first:last] = 1 / (last - first)
    beside = [means[max(cell - 1, 0) : cell + 2].mean(0) for cell in range(cells)]
    places = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    spread = np.maximum(0, 1 - abs(places[:, None] - np.arange(cells)))
    return np.stack(beside), spread


_local_mean_once = functools.cache(_local_mean)


class ClipNetwork(Network):
    """A network for clips of ``in_channels`` channels."""

    reads = "clips"
    in_channels: int

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where clips of this shape, (B, T, C, H, W), do not fit this network."""
        if shape[2] != self.in_channels:
            raise ValueError(
                f"clips have {shape[2]} channels, the network takes {self.in_channels}"
            )


class GestureNet(ClipNetwork, OnlineNetwork):
    """``model(clips)``: (B, T, C, H, W) of pixels 0..255, uint8 or float → scores (B, classes).

    One ConvLSTM layer for each of ``variants``, with 256 · ``width`` hidden channels; ``width``
    scales every layer's channels. Preprocessing happens inside, on the clips' device (see
    ``Preprocessing``, which also explains its settings), so uint8 clips are all that a caller
    provides. Scores are logits, float32 also under autocast.

    The paper's layers stand in the way of whatever is to be learnt. ``recurrent_skip`` gives each a
    way around it, which small data sets need: x + gain · H(norm(x)), as residual networks have (He
    et al., 2016), with a batch norm before the layer and a gain for each channel that starts at
    ``FIRST_GAIN``, small, so that training begins as without the layer (as in SkipInit, De and
    Smith, 2020). ``top_skip`` gives one to each of the nine blocks above them, see
    `SeparableBlock`. Without ``variants`` there is no recurrent layer at all, the yardstick.

    ``causal``: convolutions and preprocessing see no later frame, and the scores of a clip are the
    mean of those at each recurrent step. The network can then be stepped through a stream, see
    `OnlineNetwork`: ``step_frames`` frames at a time. ``clip_mean`` is for clips alone. Clips that
    are no whole steps lose what is left over at their end.

    ``gradient_checkpointing`` (False) saves memory in training: see `res3d.recomputed`.

    Any clip of at least ``min_frames`` frames of ``min_size`` × ``min_size`` pixels is accepted;
    smaller ones, and a wrong number of channels, raise ValueError.
    """

    head = "classifier"
    explainable = True
    FIRST_GAIN = 0.2

    def __init__(
        self,
        num_classes: int,
        variants: Sequence[str] = ("a", "a"),
        width: float = 1.0,
        in_channels: int = 3,
        kernel_size: int = 3,
        stem_stride: Sequence[int] = (1, 2, 2),
        preprocessing: str = "channel_mean",
        channel_means: Sequence[float] = (114.0, 109.0, 104.0),
        pixel_scale: float = 1.0,
        local_contrast: bool = False,
        mean_frames: int = 48,
        differences: bool = False,
        stabilise: bool = False,
        recurrent_skip: bool = False,
        top_skip: bool = False,
        forget_bias: float = 0.0,
        dropout: float = 0.0,
        causal: bool = False,
    ):
        super().__init__()
        if causal and preprocessing == "clip_mean":
            raise ValueError(
                "a causal network cannot subtract the mean of all frames (clip_mean); take "
                "running_mean"
            )
        self.in_channels, self.causal = in_channels, causal
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
        self.res3d = Res3D(self.preprocessing.out_channels, width, tuple(stem_stride), causal)
        channels = self.res3d.out_channels
        hidden = scaled_channels(256, width)
        self.recurrent = nn.ModuleList()
        for variant in variants:
            self.recurrent.append(ConvLSTM(channels, hidden, kernel_size, variant, forget_bias))
            channels = hidden
        self.recurrent_norms, self.recurrent_gains = nn.ModuleList(), nn.ParameterList()
        for _ in self.recurrent if recurrent_skip else ():
            self.recurrent_norms.append(nn.BatchNorm3d(hidden))
            self.recurrent_gains.append(torch.full((hidden, 1, 1), self.FIRST_GAIN))
        self.mobilenet = MobileNetTop(channels, width, top_skip)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.mobilenet.out_channels, num_classes)
        self.gradient_checkpointing = False
        self.min_frames = self.step_frames = self.res3d.strides[0]
        self.min_size = max(self.res3d.strides[1:])

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where clips (B, T, C, H, W) have other channels, or are too small."""
        super().check(shape)
        _, frames, _, height, width = shape
        if frames < self.min_frames or min(height, width) < self.min_size:
            raise ValueError(
                f"clips of {frames} frames, {height} × {width} pixels are too small: "
                f"at least {self.min_frames} frames of {self.min_size} × {self.min_size} are needed"
            )

    def forward(self, clips: Clips, lengths: Tensor | None = None) -> Float[Tensor, "B classes"]:
        """``lengths`` is ignored: a batch holds clips sampled to the same number of frames."""
        self.check(clips.shape)
        if self.causal:
            return self.step_scores(clips).mean(1)
        return self.top_layers(self._features(clips, Carried()), self._recomputes)

    def state_shapes(self, batch: int, size: Sequence[int]) -> Shapes:
        _, *maps = self.res3d.output_size(self.step_frames, *size)
        state = [(batch, layer.hidden_channels, *maps) for layer in self.recurrent for _ in "hc"]
        return [
            *self.preprocessing.state_shapes(batch, *size),
            *self.res3d.past_shapes(batch, *size),
            *state,
        ]

    def scores_of_steps(
        self, inputs: Clips, lengths: Tensor | None, carried: Carried
    ) -> Float[Tensor, "B S classes"]:
        self.check(inputs.shape)
        return self._scores(self._pooled(self._features(inputs, carried), self._recomputes))

    @property
    def _recomputes(self) -> bool:
        return self.gradient_checkpointing and torch.is_grad_enabled()

    def _features(self, clips: Clips, carried: Carried) -> Float[Tensor, "B T2 C2 H2 W2"]:
        """What the recurrent layers leave."""
        x = self.preprocessing(clips, self.classifier.weight.dtype, carried)  # (B, C, T, H, W)
        x = x.to(self.res3d.stem[0].weight.dtype)  # see `in_bf16`
        x = self.res3d(x, self._recomputes, carried).transpose(1, 2)  # (B, T/2, C, H/4, W/4)
        for number in range(len(self.recurrent)):
            state = carried.split(2)
            x, found = self.recurrent_layer(number, x, state=tuple(state) or None)
            for tensor in found[1]:
                carried.leave(tensor, torch.channels_last)
        return x

    def recurrent_layer(
        self, number: int, x: Float[Tensor, "B T2 C H2 W2"], **options
    ) -> tuple[Float[Tensor, "B T2 C H2 W2"], tuple]:
        """What follows a recurrent layer, and what the layer itself (see `ConvLSTM`) returns."""
        layer = self.recurrent[number]
        if not self.recurrent_norms:
            found = layer(x, **options)
            return found[0], found
        found = layer(self.recurrent_norms[number](x.transpose(1, 2)).transpose(1, 2), **options)
        return x + self.recurrent_gains[number] * found[0], found

    def top_layers(
        self, x: Float[Tensor, "B T2 C H2 W2"], recompute: bool = False
    ) -> Float[Tensor, "B classes"]:
        """From what the recurrent layers leave to scores: MobileNet, then the mean."""
        return self._scores(self._pooled(x, recompute).mean(1))

    def _pooled(
        self, x: Float[Tensor, "B T2 C H2 W2"], recompute: bool
    ) -> Float[Tensor, "B T2 C2"]:
        y = self.mobilenet(x.flatten(0, 1), recompute)  # (B·T/2, C, H/32, W/32)
        return y.mean((2, 3)).unflatten(0, (x.shape[0], -1))

    def _scores(self, x: Float[Tensor, "... C2"]) -> Float[Tensor, "... classes"]:
        scores = self.classifier(self.dropout(x.to(self.classifier.weight.dtype)))
        return scores.to(torch.promote_types(scores.dtype, torch.float32))
