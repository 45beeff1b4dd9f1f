"""An experiment: a network, a data set, and how the one is trained on the other."""

from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, model_validator

from gesture3d.config.models import GestureNetConfig, ModelConfig
from gesture3d.data.sets import find_sets
from gesture3d.settings import (
    BatchSize,
    Fraction,
    NonNegative,
    PositiveInt,
    Section,
    Seed,
)

DataConfig = Annotated[Union[tuple(find_sets().values())], Field(discriminator="name")]  # noqa: UP007


ClassWeight = Annotated[float, Field(ge=0.0, le=1e6)]


class OptimConfig(Section):
    """Optimiser, schedule and loss."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0.0, le=1e38)] = 1e-3
    # polynomial: lr → final_lr with `power`; cosine: linear warm-up, then lr → final_lr;
    # onecycle: cosine warm-up from lr / 25, cosine to final_lr.
    schedule: Literal["constant", "polynomial", "cosine", "onecycle"] = "polynomial"
    final_lr: Annotated[float, Field(ge=0.0, le=1e38)] = 1e-6
    power: Annotated[float, Field(gt=0.0, le=1000.0)] = 0.9
    warmup: Fraction = 0.0  # share of all steps
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 5e-5
    # Weight decay on matrices and kernels only, not on biases and norms.
    decay_matrices_only: bool = False
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    # Of a sample's loss, by its class: one a class, or "balanced": the inverse of how many samples
    # the class has. Scaled so that their mean over the training samples is 1.
    class_weights: Literal["balanced"] | tuple[ClassWeight, ...] | None = None
    clip_norm: Annotated[float, Field(gt=0.0, le=1e9)] | None = None
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None

    @model_validator(mode="after")
    def _final_below_peak(self) -> "OptimConfig":
        if self.schedule != "constant" and self.final_lr > self.lr:
            raise ValueError(f"final_lr {self.final_lr} is above lr {self.lr}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class TrainConfig(Section):
    """The loop."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch_size: BatchSize = 16
    accumulate: BatchSize = 1  # batches per optimiser step
    replay_worst: Annotated[int, Field(ge=0, le=1_000_000)] = (
        0  # batches of an epoch to train on once more
    )
    # Else batches as data.num_workers get them ready: a slow read does not hold up the others, and
    # the weights depend on timing. An epoch visits the same samples; one that goes on in its middle
    # may miss up to four batches a worker, and visit as many twice.
    in_order: bool = True
    eval_batch_size: BatchSize = 32
    eval_every: PositiveInt = 1  # epochs
    # Of training; auto: bf16 autocast where the processor has it. Evaluation is always in fp32.
    # In fp32, too, GPUs compute convolutions in TF32 in training.
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    # Which epoch's weights are kept to use: the best on validation, or the last.
    keep: Literal["best", "last"] = "best"
    compile: bool = False
    # Of the video network: compute Res3D and MobileNet once more instead of keeping activations.
    gradient_checkpointing: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Processes that train together on this machine; null: one a core on a CPU, one on a GPU.
    processes: Annotated[int, Field(ge=1, le=128)] | None = None
    # Batch norms take the statistics of all processes' samples together, as one process would.
    sync_batch_norm: bool = False
    num_threads: Annotated[int, Field(ge=1, le=1024)] | None = (
        None  # in each process; null: the cores, shared out
    )
    seed: Seed = 0
    checkpoint_minutes: Annotated[float, Field(gt=0.0, le=1e6)] = 5.0

    @model_validator(mode="after")
    def _replays_are_found(self) -> "TrainConfig":
        if self.replay_worst and not self.in_order:
            raise ValueError("replay_worst finds batches by their order: set in_order=true")
        return self


class Experiment(Section):
    """Everything that determines a run's result."""

    model: ModelConfig = GestureNetConfig()
    data: DataConfig
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _channels_agree(self) -> "Experiment":
        if not self.data.kind == self.model.reads == "clips":
            return self
        given, taken = self.data.num_channels, self.model.in_channels
        if given != taken:
            raise ValueError(
                f"model.in_channels is {taken}, but {self.data.modality} clips have {given} "
                f"channel(s): set model.in_channels={given}, or data.channels"
            )
        return self

    @model_validator(mode="after")
    def _streams_run_on(self) -> "Experiment":
        if self.data.streams and not self.model.is_causal:
            kinds = [k for k in union_members(ModelConfig) if k.reads == self.data.kind]
            able = [kind_name(kind) for kind in kinds if "causal" in kind.model_fields]
            raise ValueError(
                f"data set {self.data.name!r} has streams, which only a causal network can follow: "
                f"set model.causal=true (of {', '.join(able)}), not {self.model.name} as it is"
            )
        if self.data.streams and self.optim.class_weights:
            raise ValueError(
                "optim.class_weights weighs samples, and a stream is of many classes: leave it out "
                "(data.gesture_share decides how much of a gesture training sees)"
            )
        return self

    @model_validator(mode="after")
    def _balanced_once(self) -> "Experiment":
        if self.data.balance and self.optim.class_weights == "balanced":
            raise ValueError(
                "data.balance and optim.class_weights=balanced both even the classes out: take one"
            )
        return self

    @model_validator(mode="after")
    def _checkpointed_network(self) -> "Experiment":
        if self.train.gradient_checkpointing and not self.model.can_recompute:
            able = [kind_name(kind) for kind in union_members(ModelConfig) if kind.can_recompute]
            raise ValueError(
                f"train.gradient_checkpointing is there for {', '.join(able)} only, not for "
                f"{self.model.name}: set it to false"
            )
        if self.train.gradient_checkpointing and self.train.compile:
            raise ValueError(
                "train.gradient_checkpointing and train.compile do not go together: set one of "
                "them to false"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _model_reads_the_data(cls, tree: Any) -> Any:
        """Before anything else: a model and a data set of different streams do not meet."""
        if not isinstance(tree, dict):
            return tree
        model, data = tree.get("model"), tree.get("data")
        if not (isinstance(model, dict) and isinstance(data, dict)):
            return tree
        name, data_name = model.get("name", "gesture_net"), data.get("name")
        models = {kind_name(kind): kind.reads for kind in union_members(ModelConfig)}
        if name not in list(models) or data_name not in list(find_sets()):  # perhaps no text
            return tree  # the field itself says so
        has = find_sets()[data_name].kind
        if models[name] != has:
            fitting = [m for m, reads in models.items() if reads == has]
            raise ValueError(
                f"model {name!r} reads {models[name]}, but data set {data_name!r} has {has}; "
                f"models for {has}: {', '.join(fitting)}"
            )
        return tree


def kind_name(kind: type[Section]) -> str:
    """The name by which configurations choose this member of a union."""
    return get_args(kind.model_fields["name"].annotation)[0]


def union_members(annotation: Any) -> tuple:
    """The kinds that a union's annotation allows."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) is not None else (annotation,)
