"""What a run needs to continue exactly where it was: the content of ``last.ckpt``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gesture3d import checkpoint
from gesture3d.training.optim import WeightAverage
from gesture3d.training.resumed import check_optimizer_state


@dataclass
class Progress:
    """Where the run is. ``epoch`` and ``step`` (in the epoch) are those of the next step."""

    epoch: int = 0
    step: int = 0
    # Sums over the steps of this epoch so far: loss, top-1 and top-5 hits, samples; seconds.
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # of the epoch's steps, to replay the worst
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)  # one row a finished epoch
    peak_memory: int = 0  # bytes, of the main process, the interrupted ones included


def tensors_of(
    model: nn.Module, average: WeightAverage | None, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """All tensors of a run by name: ``model.…``, ``ema.…``, ``optim.<parameter's number>.…``."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    if average:
        tensors |= {f"ema.{name}": t for name, t in average.model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optim.{index}.{name}": torch.as_tensor(value)
            for name, value in state.items()
            if value is not None
        }
    return tensors


def restore(
    tensors: dict[str, Tensor],
    model: nn.Module,
    average: WeightAverage | None,
    optimizer: torch.optim.Optimizer,
    path: Path,
    *,
    begun: bool,
) -> None:
    """Put `tensors_of` a run back into their places.

    Args:
        path: of the file that they were read from.
        begun: there have been steps, so the optimiser must have a state.

    Raises:
        Gesture3dError: they are not those of this network and optimiser.
    """
    checkpoint.load_weights(model, _with_prefix(tensors, "model."), path)
    if average:
        checkpoint.load_weights(average.model, _with_prefix(tensors, "ema."), path)
    of_optimizer = _with_prefix(tensors, "optim.")
    check_optimizer_state(of_optimizer, optimizer, path, begun)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in of_optimizer.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
