"""What every network is to the rest of the program."""

import contextlib
from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor, nn


class Network(nn.Module):
    """``model(inputs, lengths=None)`` → scores (B, classes).

    Attributes:
        reads: ``clips``, pixels (B, T, C, H, W), or ``sequences`` of features, padded (B, T, D).
        head: the submodule whose size is the number of classes, which fine-tuning on other classes
            replaces.
        causal: whether nothing depends on the future; such a network is an `OnlineNetwork`.
        explainable: whether it has the parts that `gesture3d.viz.explain` shows, see there.
    """

    reads: ClassVar[str]
    head: str
    causal: bool = False
    explainable: ClassVar[bool] = False

    @classmethod
    def build(cls, config, num_classes: int, num_features: int | None = None) -> "Network":
        """The network that a configuration describes: its fields but ``name`` are arguments.

        Args:
            num_features: of a step, where the network reads sequences; None for clips.
        """
        arguments = config.model_dump(exclude={"name"})
        if num_features is not None:
            arguments["num_features"] = num_features
        return cls(num_classes=num_classes, **arguments)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError or Gesture3dError where a batch of this shape does not fit."""

    def fit_inputs(self, samples: Iterable[Tensor]) -> None:
        """Before training, take from the training samples what the network knows of its inputs.

        Args:
            samples: sequences (T, D).
        """

    def no_sync(self) -> contextlib.AbstractContextManager:
        """As `torch.nn.parallel.DistributedDataParallel`'s: alone, there is nothing to share."""
        return contextlib.nullcontext()
