"""What a network is given of one sample: fixed by its training, and checked wherever it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class InputSpec:
    """Attributes:
    kind: ``clips`` (uint8) or ``sequences`` (float32).
    shape: (T, C, H, W) or (T, D); T is None where every sample has its own.
    rate_hz: samples a second, where the stream has a clock.
    channel_names: of D, where they have names, in the network's order.
    """

    kind: str
    shape: tuple[int | None, ...]
    rate_hz: float | None = None
    channel_names: tuple[str, ...] | None = None

    @property
    def num_features(self) -> int | None:
        """D of sequences; None for clips."""
        return self.shape[1] if self.kind == "sequences" else None

    def example(self, count: int = 1, num_frames: int | None = None) -> Tensor:
        """Zeros (count, *shape).

        Args:
            num_frames: in place of T.
        """
        import torch

        shape = (num_frames or self.shape[0] or 1, *self.shape[1:])
        dtype = torch.uint8 if self.kind == "clips" else torch.float32
        return torch.zeros(count, *shape, dtype=dtype)

    def check(self, inputs: Tensor, where: object) -> None:
        """Raise Gesture3dError where a sequence's frames are not what the network reads."""
        if self.kind == "sequences" and inputs.shape[-1] != self.num_features:
            raise Gesture3dError(
                f"{where}: {inputs.shape[-1]} features a frame, from a wrong number of joints, "
                f"coordinates or channels; the network was trained on {self.num_features}"
            )

    def check_same(self, other: InputSpec, where: object) -> None:
        """Raise Gesture3dError where a data set's samples (``other``) are no such input."""
        ours, theirs = self.channel_names, other.channel_names
        if None not in (ours, theirs) and ours != theirs:
            raise Gesture3dError(
                f"{where}: channels {', '.join(theirs)}; the network was trained on "
                f"{', '.join(ours)}"
            )
        if self.num_features != other.num_features:
            raise Gesture3dError(
                f"{where}: {other.num_features} features a frame; the network was trained on "
                f"{self.num_features}"
            )
