"""The state of a run: what changes while it trains, how it is saved and how it is taken up again.

``last.ckpt`` holds all of it, ``best.safetensors`` the weights alone. What a file says is checked
before anything of it is used.
"""

from collections.abc import Mapping
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from gesture3d import checkpoint
from gesture3d.checkpoint import wrong_values
from gesture3d.config import Experiment
from gesture3d.data import Datasets
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.metrics import Metrics
from gesture3d.machine import peak_memory
from gesture3d.stored import NonNegative, Number, Whole, checked
from gesture3d.training.optim import WeightAverage, build_optimizer


def _has_epoch(row: dict[str, int | float]) -> dict[str, int | float]:
    if not isinstance(row.get("epoch"), int):
        raise ValueError("no epoch in it")
    return row


# One epoch's row of metrics.jsonl and of the history.
Row = Annotated[dict[str, Whole | Number], AfterValidator(_has_epoch)]
ROW = TypeAdapter(Row)


@dataclass(config=ConfigDict(extra="forbid"))
class Progress:
    """Where the run is. ``epoch`` and ``step`` (in the epoch) are those of the next step."""

    epoch: Whole = 0
    step: Whole = 0
    # Sums over the steps of this epoch so far: loss, top-1 and top-5 hits, samples.
    sums: Annotated[list[NonNegative], Field(min_length=4, max_length=4)] = field(
        default_factory=lambda: [0.0] * 4
    )
    seconds: NonNegative = 0.0
    losses: list[Number] = field(default_factory=list)  # of the epoch's steps, to replay the worst
    best_epoch: Annotated[int, Field(strict=True, ge=-1)] = -1
    history: list[Row] = field(default_factory=list)  # one row a finished epoch
    peak_memory: Whole = 0  # bytes, of the main process, the interrupted ones included

    def row(self, learning_rate: float) -> dict[str, Any]:
        """What the history says of the training in the epoch that has ended."""
        loss, top1, top5, count = self.sums
        count = max(count, 1.0)
        return {
            "epoch": self.epoch,
            "learning_rate": learning_rate,
            "train_loss": loss / count,
            "train_top1": top1 / count,
            "train_top5": top5 / count,
            "clips_per_second": count / max(self.seconds, 1e-9),
            "seconds": self.seconds,
        }

    def is_best(self, row: dict[str, Any]) -> bool:
        """Best on validation: highest top-1, then lowest loss."""

        def quality(row: dict[str, Any]) -> tuple[float, float]:
            return row["validation_top1"], -row["validation_loss"]

        return self.best_epoch < 0 or quality(row) > quality(self.history[self.best_epoch])

    def next_epoch(self) -> None:
        """Begin one: nothing is summed up yet."""
        self.epoch, self.step = self.epoch + 1, 0
        self.sums, self.seconds, self.losses = [0.0] * 4, 0.0, []


class RunState:
    """Weights, optimiser, averaged weights and position of a run."""

    def __init__(self, experiment: Experiment, model: nn.Module, datasets: Datasets) -> None:
        self.experiment, self.datasets = experiment, datasets
        self.model = model
        self.optimizer = build_optimizer(model, experiment.optim)
        decay = experiment.optim.ema_decay
        self.average = WeightAverage(model, decay) if decay else None
        self.progress = Progress()

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and kept: the averaged one, where there is one."""
        return self.average.model if self.average else self.model

    def save_weights(self, path: Path, metrics: Metrics | None) -> None:
        """The evaluated network and what is needed to use it."""
        scores: dict[str, Any] = {"validation": metrics.scalars()} if metrics else {}
        scores["epoch"] = self.progress.epoch
        checkpoint.save(path, self.evaluated.state_dict(), self._describe(metrics=scores))

    def save(self, path: Path) -> None:
        """Everything needed to continue exactly here."""
        self.progress.peak_memory = max(self.progress.peak_memory, peak_memory() or 0)
        description = self._describe(progress=asdict(self.progress))
        checkpoint.save(path, self._tensors(), description)

    def restore(self, path: Path, steps_per_epoch: int) -> None:
        """Continue where a run of this very experiment and data was saved.

        Raises:
            Gesture3dError: the data has changed since, or the file does not fit.
        """
        tensors, description = checkpoint.load(path)
        if description.data_fingerprint != self.datasets.fingerprint:
            raise Gesture3dError(
                f"{path}: the data set has changed since this run began (its samples or labels "
                "differ); start a new run"
            )
        progress = checked_progress(description.progress, self.experiment, steps_per_epoch, path)
        begun = progress["epoch"] > 0 or progress["step"] > 0
        checkpoint.load_weights(self.model, _with_prefix(tensors, "model."), path)
        if self.average:
            checkpoint.load_weights(self.average.model, _with_prefix(tensors, "ema."), path)
        of_optimizer = _with_prefix(tensors, "optim.")
        check_optimizer_state(of_optimizer, self.optimizer, path, begun)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in of_optimizer.items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.progress = Progress(**progress)

    def _tensors(self) -> dict[str, Tensor]:
        """By name: ``model.…``, ``ema.…``, ``optim.<parameter's number>.…``."""
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        if self.average:
            tensors |= {f"ema.{name}": t for name, t in self.average.model.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optim.{index}.{name}": torch.as_tensor(value)
                for name, value in state.items()
                if value is not None
            }
        return tensors

    def _describe(self, **fields: Any) -> checkpoint.Description:
        spec = self.datasets.spec
        return checkpoint.Description(
            experiment=self.experiment.model_dump(mode="json"),
            class_names=list(self.datasets.class_names),
            data_fingerprint=self.datasets.fingerprint,
            num_features=spec.num_features,
            channel_names=spec.channel_names and list(spec.channel_names),
            **fields,
        )


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


_STORED = TypeAdapter(Progress)
_ALWAYS = {f.name for f in fields(Progress)} - {"losses", "peak_memory"}  # younger than the rest
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
        if missing := _ALWAYS - stored.keys():
            raise ValueError(f"{', '.join(sorted(missing))}: missing")
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
    return asdict(found)


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
