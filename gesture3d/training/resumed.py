"""What a ``last.ckpt`` says of a run, checked before anything of it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter
from torch import Tensor

from gesture3d.checkpoint import wrong_values
from gesture3d.config import Experiment
from gesture3d.errors import Gesture3dError
from gesture3d.stored import NonNegative, Number, Whole, checked


def _has_epoch(row: dict[str, int | float]) -> dict[str, int | float]:
    if not isinstance(row.get("epoch"), int):
        raise ValueError("no epoch in it")
    return row


# One epoch's row of metrics.jsonl and of the history.
Row = Annotated[dict[str, Whole | Number], AfterValidator(_has_epoch)]
ROW = TypeAdapter(Row)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epoch: Whole
    step: Whole
    sums: Annotated[list[NonNegative], Field(min_length=4, max_length=4)]
    seconds: NonNegative
    losses: list[Number] = []
    best_epoch: Annotated[int, Field(strict=True, ge=-1)]
    history: list[Row]
    peak_memory: Whole = 0


_STORED = TypeAdapter(_Stored)
_KEYS = {"learning_rate", "train_loss", "train_top1", "train_top5", "clips_per_second", "seconds"}


def checked_progress(
    stored: dict[str, Any], experiment: Experiment, steps_per_epoch: int, path: Path
) -> dict[str, Any]:
    """The fields of `Progress`, of the right types and possible in this run.

    Raises:
        Gesture3dError: they are not.
    """
    try:
        found = checked(stored, _STORED)
        epoch, step, history, best = found.epoch, found.step, found.history, found.best_epoch
        rows = [row["epoch"] for row in history]
        if epoch > experiment.train.epochs or step > steps_per_epoch:
            raise ValueError(f"epoch {epoch}, step {step} lie behind the end of the run")
        if rows != list(range(epoch)) or any(_KEYS - row.keys() for row in history):
            raise ValueError(f"history: not a whole row for each of {epoch} epochs")
        keeps_best = experiment.train.keep == "best"
        needed = {"validation_top1", "validation_loss"} if keeps_best else set()
        if best >= epoch or (best >= 0 and not needed <= history[best].keys()):
            raise ValueError(f"best_epoch {best}: not one of the {epoch} that were validated")
        if len(found.losses) > steps_per_epoch:
            raise ValueError(f"losses: more than {steps_per_epoch}, one a step of an epoch")
    except ValueError as error:
        raise Gesture3dError(f"{path}: its place in the run is damaged ({error})") from None
    return found.model_dump()


def check_optimizer_state(
    state: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, path: Path, begun: bool
) -> None:
    """Raise where the optimiser would read memory that is not its own, or not go on as before.

    Args:
        state: by ``<parameter's number>.<name>``.
        begun: at least one step was done.
    """
    is_sgd = isinstance(optimizer, torch.optim.SGD)
    names = ("momentum_buffer",) if is_sgd else ("step", "exp_avg", "exp_avg_sq")
    if is_sgd and not optimizer.defaults["momentum"]:
        names = ()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    expected = {
        f"{number}.{name}": (() if name == "step" else tuple(p.shape), p.dtype)
        for number, p in enumerate(parameters if begun else ())
        for name in names
    }
    wrong = [f"{name}: missing" for name in expected if name not in state]
    wrong += [f"{name}: unknown" for name in state if name not in expected]
    for name, (shape, dtype) in expected.items():
        tensor = state.get(name, torch.zeros(shape))
        if tuple(tensor.shape) != shape:
            wrong.append(f"{name}: shape {list(tensor.shape)}, not {list(shape)}")
        elif tensor.dtype != dtype:
            wrong.append(f"{name}: {tensor.dtype}, not {dtype}")
        elif reason := wrong_values(tensor, dtype):
            wrong.append(f"{name}: {reason}")
        elif name.endswith(("step", "exp_avg_sq")) and (tensor < 0).any():
            wrong.append(f"{name}: below 0")
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise Gesture3dError(
            f"{path}: the optimiser's state is damaged ({'; '.join(wrong[:4])}{more}); start anew, "
            "or from the weights with --init"
        )
