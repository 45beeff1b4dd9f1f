"""What the networks for inertial windows do with their input: extra channels, standardisation."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gesture3d.errors import Gesture3dError
from gesture3d.models.network import Network
from gesture3d.models.sequence import mean_and_std


class InertialInputs(nn.Module):
    """Channels in physical units (B, T, D) → standardised channels (B, T, D').

    D' = D, plus D / 3 with ``magnitudes``: the length of each vector of three successive channels
    (needs D = 3 · vectors), plus D with ``log_scales``: sign(x) · log1p(|x| / s). That shows detail
    of the size s which a linear scale drowns: the milli-g of a phone's tilt in which standing and
    sitting differ. s is in the channel's own unit, one value for each of D / len(log_scales)
    successive channels.

    Every channel is then brought to mean 0 and standard deviation ``std`` over the training
    windows (see `fit`), as buffers that travel with the weights.
    """

    def __init__(
        self,
        num_features: int,
        magnitudes: bool = False,
        log_scales: Sequence[float] = (),
        std: float = 1.0,
    ):
        super().__init__()
        if magnitudes and num_features % 3:
            raise Gesture3dError(
                f"model.magnitudes needs vectors of three channels; the data has {num_features}"
            )
        if log_scales and num_features % len(log_scales):
            raise Gesture3dError(
                f"model.log_scales has {len(log_scales)} values, which do not share "
                f"{num_features} channels evenly; give one for each vector or channel"
            )
        self.num_features, self.magnitudes, self.target_std = num_features, magnitudes, std
        repeats = num_features // max(len(log_scales), 1)
        scales = torch.tensor(log_scales, dtype=torch.float32).repeat_interleave(repeats)
        self.register_buffer("log_scales", scales, persistent=False)
        extra = num_features // 3 * magnitudes + num_features * bool(log_scales)
        self.num_channels = num_features + extra
        self.register_buffer("mean", torch.zeros(self.num_channels))
        self.register_buffer("std", torch.ones(self.num_channels))

    def channels(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T C"]:
        """All channels before standardisation."""
        parts = [x]
        if self.magnitudes:
            parts.append(x.unflatten(2, (-1, 3)).norm(dim=3))
        if len(self.log_scales):
            parts.append(x.sign() * (x.abs() / self.log_scales).log1p())
        return torch.cat(parts, 2)

    @torch.no_grad()
    def fit(self, windows: Iterable[Float[Tensor, "T D"]], streams: bool = False) -> None:
        """Take mean and standard deviation from these; a channel that never changes is centred.

        Args:
            streams: whole recordings, which may be of any length.

        Raises:
            Gesture3dError: windows of different lengths.
        """
        windows = list(windows)
        if streams:
            parts = [window[None] for window in windows]
        else:
            _check_one_length([len(window) for window in windows], "")
            parts = torch.stack(windows).split(256)
        mean, std = mean_and_std(self.channels(part).flatten(0, 1) for part in parts)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise Gesture3dError where windows of this shape, (B, T, D), do not fit."""
        if len(shape) != 3 or shape[2] != self.num_features:
            raise Gesture3dError(
                f"windows of shape {tuple(shape)}; the network was made for (batch, steps, "
                f"{self.num_features} channels)"
            )

    def forward(
        self, x: Float[Tensor, "B T D"], lengths: Tensor | None = None
    ) -> Float[Tensor, "B T C"]:
        """Raises Gesture3dError: other channels than the network was made for, or windows of
        different lengths in one batch."""
        self.check(x.shape)
        if lengths is not None:
            _check_one_length([int(lengths.min()), x.shape[1]], " in one batch")
        return (self.channels(x) - self.mean) * (self.target_std / self.std)


def _check_one_length(lengths: Sequence[int], where: str) -> None:
    low, high = min(lengths), max(lengths)
    if low != high:
        raise Gesture3dError(
            f"windows of {low} to {high} steps{where}; this network takes windows of one length: "
            "set data.num_frames, or take deepgru or gru"
        )


class InertialNetwork(Network):
    """A network for inertial windows, (B, T, D) in physical units, behind its ``inputs``."""

    reads = "sequences"
    causal = False
    inputs: InertialInputs

    def check(self, shape: tuple[int, ...]) -> None:
        self.inputs.check(shape)

    def fit_inputs(self, windows: Iterable[Float[Tensor, "T D"]]) -> None:
        """Standardise with the statistics of these, the training windows or streams."""
        self.inputs.fit(windows, streams=self.causal)
