"""An experiment as typed, validated data: model file + data recipe + overrides → `Experiment`.

Two short flat YAML files describe a run. The model file (``--cfg``) holds the fields of a model
config; the data recipe (``--data``) holds a section ``data`` and the recipe that this data set
needs: sections ``optim``, ``train`` and ``model`` (width, input handling). Precedence, lowest
first: defaults, data recipe, model file, ``--set`` overrides.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.files import resource

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
Variant = Literal["convlstm", "a", "b", "c", "d"]


class Section(BaseModel):
    """A group of settings. Unknown keys and values of a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- models -------------------------------------------------------------------------------------


class GestureNetConfig(Section):
    """Res3D → two ConvLSTM layers → MobileNet; the arguments of `GestureNet`, documented there."""

    name: Literal["gesture_net"] = "gesture_net"
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = ("a", "a")
    width: Annotated[float, Field(gt=0.0, le=4.0)] = 1.0
    in_channels: PositiveInt = 3
    kernel_size: Literal[1, 3, 5, 7] = 3
    stem_stride: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 2, 2)
    preprocessing: Literal["channel_mean", "clip_mean"] = "channel_mean"
    channel_means: tuple[float, ...] = (114.0, 109.0, 104.0)
    pixel_scale: Annotated[float, Field(gt=0.0)] = 1.0
    forget_bias: float = 0.0
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0

    @model_validator(mode="after")
    def _one_mean_per_channel(self) -> "GestureNetConfig":
        if self.preprocessing == "channel_mean" and len(self.channel_means) != self.in_channels:
            raise ValueError(
                f"channel_means has {len(self.channel_means)} values for "
                f"in_channels={self.in_channels}; give one mean (0..255) per channel"
            )
        return self


class DeepGRUDims(Section):
    """Hidden sizes of the three GRUs, and the size of the classifier's hidden layer."""

    gru1: PositiveInt = 512
    gru2: PositiveInt = 256
    gru3: PositiveInt = 128
    fc: PositiveInt = 256


class DeepGRUConfig(Section):
    """DeepGRU for skeleton sequences; the arguments of `DeepGRU`, documented there."""

    name: Literal["deepgru"]
    dims: DeepGRUDims = DeepGRUDims()
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    mask_padding: bool = True  # False: the authors' attention, which looks at padding


class GRUConfig(Section):
    """A plain GRU for sequences; the arguments of `GRUNet`, documented there."""

    name: Literal["gru"]
    hidden_size: PositiveInt = 128
    num_layers: PositiveInt = 2
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


ModelConfig = Annotated[
    GestureNetConfig | DeepGRUConfig | GRUConfig,
    Field(discriminator="name"),
]
SEQUENCE_MODELS = ("deepgru", "gru")  # these read sequences of features, the others clips


# --- data ---------------------------------------------------------------------------------------


class Augmentation(Section):
    """Random changes of training clips, the same for all frames of a clip; none by default."""

    # Side of the crop as a share of the short side of the frame.
    crop_scale: tuple[Fraction, Fraction] = (1.0, 1.0)
    # The crop's width / height is drawn from [1 / (1 + aspect), 1 + aspect].
    aspect: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    # Place of the crop: anywhere in the frame, or within ±shift (share of the short side) of the
    # centre.
    shift: Fraction | None = None
    # Share of the clip's duration that is sampled from.
    time_span: tuple[Fraction, Fraction] = (1.0, 1.0)
    # Brightness of all channels and of single channels is multiplied by factors from these.
    gain: tuple[float, float] = (1.0, 1.0)
    channel_gain: tuple[float, float] = (1.0, 1.0)
    # Rotation of the crop by a uniform angle within ±rotation_degrees.
    rotation_degrees: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    # Mirroring swaps labels; refused for data sets that do not declare which.
    horizontal_flip: bool = False

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "Augmentation":
        for name in ("crop_scale", "time_span", "gain", "channel_gain"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be [low, high] with 0 < low <= high, not {[low, high]}"
                )
        return self


class VideoData(Section):
    """What every set of clips has: how many frames, how large, how augmented."""

    num_frames: PositiveInt = 16
    size: Annotated[int, Field(ge=8, le=1024)] = 112  # pixels, height = width
    temporal_jitter: bool = True  # in training; the paper's sampling
    augmentation: Augmentation = Augmentation()
    # Decode every clip once into one memory-mapped file of frames that are `cache_size` pixels
    # high (None: decode the video files in every epoch).
    cache_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    num_workers: Annotated[int, Field(ge=0, le=256)] = 0  # processes that load batches


class ClipsPerClass(Section):
    train: PositiveInt = 60
    validation: PositiveInt = 8
    test: PositiveInt = 8


class SyntheticData(VideoData):
    """The generated stand-in for Jester; rendered on first use."""

    name: Literal["synthetic"]
    root: Path = Path("data/synthetic")
    modality: Literal["rgb", "depth"] = "rgb"
    clips_per_class: ClipsPerClass = ClipsPerClass()
    hard: bool = False
    seed: int = 0


class JesterData(VideoData):
    """Jester v1 in its official layout, clips as video files or frame folders."""

    name: Literal["jester"]
    root: Path = Path("data/jester")


class FolderData(VideoData):
    """Anyone's clips: ``root/<class>/<clip>``, or a CSV of path, label, split and group."""

    name: Literal["folder"]
    root: Path = Path("data/clips")
    csv: Path | None = None  # relative to here or to root; its paths, to itself or to root
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"  # train, validation or test
    group_column: str = "group"  # clips of one group stay in one split
    ignore_columns: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None  # only these, in this order; None: all, sorted
    # Which groups to hold out ...
    validation_groups: tuple[str, ...] = ()
    test_groups: tuple[str, ...] = ()
    # ... or, where neither these nor splits are given: which shares of each class.
    validation_share: Fraction = 0.2
    test_share: Fraction = 0.0
    seed: int = 0


class SkeletonAugmentation(Section):
    """Random changes of training skeletons, after centring and scaling; none by default.

    Lengths are in the data's units, or in lengths of `scale_joints` where that is set. The
    functions are in `gesture3d.data.skeleton_transforms`.
    """

    rotation_degrees: tuple[Degrees, Degrees, Degrees] = (0.0, 0.0, 0.0)  # ± about x, y, z
    scale: tuple[float, float] = (1.0, 1.0)  # one factor for all axes, drawn from this range
    translation: Annotated[float, Field(ge=0.0)] = 0.0  # ± on each axis
    noise: Annotated[float, Field(ge=0.0)] = 0.0  # standard deviation, each coordinate apart
    time_warp: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # largest relative change of speed
    speed: tuple[float, float] = (1.0, 1.0)  # a factor from this range; 2 plays twice as fast
    joint_dropout: Fraction = 0.0  # probability that a joint stands still at its mean

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "SkeletonAugmentation":
        for name in ("scale", "speed"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"{name} must be [low, high] with 0 < low <= high, not {[low, high]}"
                )
        return self


class SkeletonData(Section):
    """What every set of skeleton sequences has: preprocessing, augmentation and how it is split.

    Preprocessing, in this order: centring, scale, (augmentation,) resampling, differences; the
    z-scores are part of the network (`gesture3d.models.sequence.Standardised`).
    """

    centre: Literal["none", "first_frame", "every_frame"] = "none"
    centre_joint: Annotated[int, Field(ge=0)] = 0  # moved to the origin
    # Neighbours in this chain of joints: the chain's mean length becomes 1. Empty: no scaling.
    scale_joints: tuple[Annotated[int, Field(ge=0)], ...] = ()
    num_frames: PositiveInt | None = None  # resample to this many; None: keep the own length
    differences: bool = False  # append the change from frame to frame to the coordinates
    standardise: bool = True  # z-scores by the training set's mean and deviation
    augmentation: SkeletonAugmentation = SkeletonAugmentation()
    # Test fold: of the official protocol, each group in turn, or k folds of whole groups.
    folds: Literal["official", "leave_one_group_out", "k_fold"] = "official"
    num_folds: Annotated[int, Field(ge=2)] = 5  # of k_fold
    fold: PositiveInt = 1
    # Groups (subjects) of the training part that choose the best epoch. Empty: train on all.
    validation_groups: tuple[str, ...] = ()
    bucket_by_length: bool = True  # training batches of similar lengths; the same samples
    num_workers: Annotated[int, Field(ge=0, le=256)] = 0  # processes that load batches
    seed: int = 0  # of a random split

    @model_validator(mode="after")
    def _chain_of_joints(self) -> "SkeletonData":
        if len(self.scale_joints) == 1:
            raise ValueError("scale_joints needs two joints or more, or none")
        return self


class UTDSkeletonData(SkeletonData):
    """UTD-MHAD: ``Skeleton.zip``, or the folder unpacked from it. Groups: subjects 1 to 8."""

    name: Literal["utd_mhad_skeleton"]
    root: Path = Path("data/utd_mhad")


class SFINGE3DData(SkeletonData):
    """SFINGE3D: ``Dictionary.zip``, or its folder. Groups: blocks of six instances."""

    name: Literal["sfinge3d"]
    root: Path = Path("data/sfinge3d")


class SHREC17Data(SkeletonData):
    """SHREC'17 track in its official layout. Groups: subjects 1 to 28."""

    name: Literal["shrec17"]
    root: Path = Path("data/HandGestureDataset_SHREC2017")
    num_classes: Literal[14, 28] = 14


class SBUKinectData(SkeletonData):
    """SBU Kinect Interaction in its official layout. Groups: pairs of people, s01s02 ..."""

    name: Literal["sbu_kinect"]
    root: Path = Path("data/sbu_kinect")


class SkeletonFolderData(SkeletonData):
    """Anyone's sequences: ``root/<class>/<sequence>.npy`` (.npz, .csv), or a CSV that lists them.

    The CSV's columns: path, label, and perhaps split (train, validation, test) and group.
    """

    name: Literal["skeleton_folder"]
    root: Path = Path("data/skeletons")
    csv: Path | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"
    group_column: str = "group"
    ignore_columns: tuple[str, ...] = ()
    num_joints: PositiveInt | None = None  # of files with a flat row a frame; None: row / 3
    validation_share: Fraction = 0.0
    test_share: Fraction = 0.2


class SyntheticJointsData(SkeletonData):
    """The joints of the generated stand-in for Jester; rendered on first use."""

    name: Literal["synthetic_joints"]
    root: Path = Path("data/synthetic")
    clips_per_class: ClipsPerClass = ClipsPerClass()
    hard: bool = False


DataConfig = Annotated[
    SyntheticData
    | JesterData
    | FolderData
    | UTDSkeletonData
    | SFINGE3DData
    | SHREC17Data
    | SBUKinectData
    | SkeletonFolderData
    | SyntheticJointsData,
    Field(discriminator="name"),
]


# --- training -----------------------------------------------------------------------------------


class OptimConfig(Section):
    """Optimiser, schedule and loss."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0.0)] = 1e-3
    # polynomial: lr → final_lr with `power`; cosine: linear warm-up, then lr → final_lr;
    # onecycle: cosine warm-up from lr / 25, cosine to final_lr.
    schedule: Literal["constant", "polynomial", "cosine", "onecycle"] = "polynomial"
    final_lr: Annotated[float, Field(ge=0.0)] = 1e-6
    power: Annotated[float, Field(gt=0.0)] = 0.9
    warmup: Fraction = 0.0  # share of all steps
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0.0)] = 5e-5
    # Weight decay on matrices and kernels only, not on biases and norms.
    decay_matrices_only: bool = False
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0.0)] | None = None
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None

    @model_validator(mode="after")
    def _final_below_peak(self) -> "OptimConfig":
        if self.schedule != "constant" and self.final_lr > self.lr:
            raise ValueError(f"final_lr {self.final_lr} is above lr {self.lr}")
        return self


class TrainConfig(Section):
    """The loop."""

    epochs: PositiveInt = 30
    batch_size: PositiveInt = 16
    accumulate: PositiveInt = 1  # batches per optimiser step
    eval_batch_size: PositiveInt = 32
    eval_every: PositiveInt = 1  # epochs
    # Of training; auto: bf16 autocast where the processor has it. Evaluation is always in fp32.
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    # Which epoch's weights are kept to use: the best on validation, or the last.
    keep: Literal["best", "last"] = "best"
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Processes that train together on this machine; null: one a core on a CPU, one on a GPU.
    processes: PositiveInt | None = None
    num_threads: PositiveInt | None = None  # in each process; null: the cores, shared out
    seed: int = 0
    checkpoint_minutes: Annotated[float, Field(gt=0.0)] = 5.0


class Experiment(Section):
    """Everything that determines a run's result."""

    model: ModelConfig = GestureNetConfig()
    data: DataConfig
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()

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
        kinds = {kind: _name(kind) for kind in _members(DataConfig)}
        models = [_name(kind) for kind in _members(ModelConfig)]
        if name not in models or data_name not in kinds.values():
            return tree  # the field itself says so
        is_clips = any(kinds[k] == data_name and issubclass(k, VideoData) for k in kinds)
        if is_clips == (name in SEQUENCE_MODELS):
            fitting = [m for m in models if is_clips != (m in SEQUENCE_MODELS)]
            wants, has = ("sequences", "clips") if is_clips else ("clips", "sequences")
            raise ValueError(
                f"model {name!r} reads {wants}, but data set {data_name!r} has {has}; models for "
                f"{has}: {', '.join(fitting)}"
            )
        return tree


def _name(kind: type[Section]) -> str:
    """The name by which configurations choose this member of a union."""
    return get_args(kind.model_fields["name"].annotation)[0]


# --- reading ------------------------------------------------------------------------------------


def load_experiment(
    cfg: str, data: str = "synthetic", overrides: list[str] | None = None
) -> Experiment:
    """The experiment of ``--cfg cfg --data data --set overrides``.

    Args:
        cfg: a model file, looked up in ``configs/`` when it is no path.
        data: a data recipe, looked up in ``configs/data/`` when it is no path.
        overrides: ``section.key=value`` with the value in YAML, e.g. ``optim.lr=0.01``.

    Raises:
        Gesture3dError: names the key, the file, the value, what is allowed and the closest key.
    """
    cfg_path = find_config(cfg, resource("configs"))
    data_path = find_config(data, resource("configs") / "data")
    model, recipe = _read_yaml(cfg_path), _read_yaml(data_path)
    _check_known(recipe, Experiment, "", data_path)
    tree = _merge(recipe, {"model": model})
    sources = _sources(recipe, data_path) | _sources({"model": model}, cfg_path)
    for override in overrides or []:
        keys, value = _parse_override(override)
        tree = _merge(tree, _nest(keys, value))
        sources[".".join(keys)] = f"--set {override}"
    return validate_experiment(tree, sources)


def validate_experiment(tree: dict[str, Any], sources: dict[str, Any] | str) -> Experiment:
    """A plain tree of settings as an `Experiment`; ``sources`` says where each key was read."""
    if isinstance(tree.get("model"), dict):
        tree = {**tree, "model": {"name": "gesture_net"} | tree["model"]}
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise Gesture3dError(_explain(error.errors()[0], tree, sources)) from None


def with_overrides(experiment: Experiment, overrides: list[str]) -> Experiment:
    """The experiment with changed settings, ``section.key=value`` each."""
    tree, sources = experiment.model_dump(mode="json"), {}
    for override in overrides:
        keys, value = _parse_override(override)
        tree = _merge(tree, _nest(keys, value))
        sources[".".join(keys)] = f"--set {override}"
    return validate_experiment(tree, sources)


def dump_experiment(experiment: Experiment) -> str:
    """The resolved experiment as YAML text, every field written out."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)


def find_config(name: str, folder: Path) -> Path:
    """``name`` as a path, or as a file of ``folder`` with or without ``.yaml``."""
    for candidate in (Path(name), folder / name, folder / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    hint = did_you_mean(Path(name).stem, known)
    raise Gesture3dError(f"no config {name!r}: not a file, and configs/ has {known}.{hint}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise Gesture3dError(f"{path}: not valid YAML: {reason}") from None
    if not isinstance(tree, dict):
        raise Gesture3dError(f"{path}: expected 'key: value' lines, found {type(tree).__name__}")
    return tree


def _parse_override(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise Gesture3dError(f"--set {text!r}: expected key=value, e.g. optim.lr=0.01")
    try:
        return key.strip().split("."), _number(yaml.safe_load(value))
    except yaml.YAMLError:
        raise Gesture3dError(f"--set {text!r}: the value is not valid YAML") from None


def _number(value: Any) -> Any:
    """YAML reads 1e-3 as text (it wants 1.0e-3); people write 1e-3 and mean the number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _nest(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return value


def _merge(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {k: _merge(below[k], v) if k in below else v for k, v in above.items()}


def _sources(tree: dict[str, Any], source: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found[f"{prefix}{key}"] = source
        if isinstance(value, dict):
            found |= _sources(value, source, f"{prefix}{key}.")
    return found


def _check_known(tree: dict[str, Any], section: type[Section], prefix: str, source: Any) -> None:
    unknown = [key for key in tree if key not in section.model_fields]
    if unknown:
        raise Gesture3dError(_unknown(prefix + str(unknown[0]), section, source))


def _unknown(key: str, section: type[BaseModel], source: Any) -> str:
    allowed = list(section.model_fields)
    hint = did_you_mean(key.rsplit(".", 1)[-1], allowed)
    return f"{source}: unknown key {key!r}.{hint} Allowed here: {', '.join(allowed)}"


def _explain(error: dict[str, Any], tree: dict[str, Any], sources: dict[str, Any] | str) -> str:
    """One pydantic error as one line: file, key, value, what is allowed, the closest known key."""
    path, section = _locate(error["loc"], tree)
    key = ".".join(path)
    source = sources if isinstance(sources, str) else _source_of(path, sources)
    if error["type"] == "extra_forbidden" and section is not None:
        return _unknown(key, section, source)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{source}: {key!r} is missing"
    if error["type"] == "union_tag_invalid":
        key, expected = f"{key}.name", error["ctx"]["expected_tags"].replace("'", "").split(", ")
        hint = did_you_mean(error["ctx"]["tag"], expected)
        return f"{source}: {key} = {error['ctx']['tag']!r}: must be one of {expected}.{hint}"
    if error["type"] == "value_error":
        if not key:
            return message
        return f"{source}: {key}: {message}"
    hint = ""
    if error["type"] == "literal_error":
        options = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        hint = did_you_mean(error["input"], options)
    return f"{source}: {key} = {error['input']!r}: {message[0].lower()}{message[1:]}.{hint}"


def _source_of(path: list[str], sources: dict[str, Any]) -> Any:
    """Where the key was read: an override of it or below it first, else the nearest file."""
    key = ".".join(path)
    overrides = (
        s for k, s in sources.items() if f"{k}.".startswith(f"{key}.") and "--set" in str(s)
    )
    above = (sources.get(".".join(path[:n])) for n in range(len(path), 0, -1))
    return next(overrides, None) or next(filter(None, above), "the configuration")


def _locate(loc: tuple, tree: dict[str, Any]) -> tuple[list[str], type[BaseModel] | None]:
    """The dotted path of an error without pydantic's union tags, and the section it is in."""
    path: list[str] = []
    node: Any = tree
    section: Any = Experiment
    for part in loc:
        if isinstance(node, dict) and part not in node and node.get("name") == part:
            section = next(
                (m for m in _members(section) if _name(m) == part),
                section,
            )
            continue  # the tag of a discriminated union, not a key
        path.append(str(part))
        owner = section
        node = node.get(part) if isinstance(node, dict) else None
        if isinstance(owner, type) and part in owner.model_fields and isinstance(node, dict):
            section = owner.model_fields[part].annotation
    return path, section if isinstance(section, type) else None


def _members(annotation: Any) -> tuple:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) is not None else (annotation,)
