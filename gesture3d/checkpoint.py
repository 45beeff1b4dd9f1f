"""One file format for everything learnt: safetensors with a JSON description of itself.

``best.safetensors`` holds the weights and what is needed to use them: model config, preprocessing
(part of the model config), class names, data fingerprint, metrics, versions. ``last.ckpt`` is the
same with the optimiser's state and the position in the run. Nothing is ever unpickled, and files
are written atomically.
"""

import functools
import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, ConfigDict, Field, Strict, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gesture3d.config import Experiment, validate_experiment
from gesture3d.data.sets import DataSet
from gesture3d.data.spec import InputSpec
from gesture3d.decisions import Calibration, OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, atomic_path
from gesture3d.models import build_model
from gesture3d.settings import Section
from gesture3d.stored import Text, parse_json
from gesture3d.text import one_line

FORMAT = "gesture3d/1"

# What fine-tuning may change: another modality has other means (the paper's recipe for IsoGD).
_FREE = ("dropout", "forget_bias", "channel_means", "stabilise")
_STABILISE_NEEDS = ("preprocessing", "local_contrast")
# What a causal network, for streams, may do otherwise than one for clips that it starts from.
_CAUSAL = ("causal", "preprocessing", "mean_frames", "differences")


def _no_doubles(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name is there twice")
    return names


Names = Annotated[list[Text], Field(min_length=1, max_length=100_000), AfterValidator(_no_doubles)]


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of itself."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    experiment: dict[Text, Any]  # the resolved `Experiment`, as plain data
    class_names: Names  # index in the scores → name
    data_fingerprint: dict[Text, Text]  # split → hash of its sample keys and labels
    metrics: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)  # position in the run, history
    versions: dict[Text, Text] = field(default_factory=lambda: versions())
    # Of a frame, where the network reads sequences.
    num_features: Annotated[int, Strict(), Field(ge=1, le=1_000_000)] | None = None
    channel_names: Names | None = None  # of CSV recordings, in the network's order
    calibration: Calibration | None = None  # None: scores are taken as they are
    online: OnlineDecision | None = None  # None: the network was never asked for events

    def input_spec(self, data: DataSet) -> InputSpec:
        """What the network reads, by the settings that it was trained with."""
        names = self.channel_names and tuple(self.channel_names)
        return data.input_spec(self.num_features, names)

    def validated_experiment(self, source: Path | str) -> Experiment:
        """What it was trained with; settings that were renamed since have today's names.

        Args:
            source: for messages.

        Raises:
            Gesture3dError: a setting that is unknown or wrong.
        """
        return validate_experiment(self.experiment, f"{source} (experiment)")


_DESCRIPTION = TypeAdapter(Description)


def save(path: Path, tensors: dict[str, Tensor], description: Description) -> None:
    """Write named tensors and their description, atomically.

    Raises:
        Gesture3dError: the file cannot be written (a full disk); an older one is still there.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    said = {"format": FORMAT, "description": json.dumps(asdict(description), allow_nan=False)}
    with atomic_path(Path(path)) as temporary:
        try:
            save_file(tensors, temporary, metadata=said)
        except SafetensorError as error:
            raise Gesture3dError(f"{path}: cannot be written ({error})") from None


def load(path: Path | str) -> tuple[dict[str, Tensor], Description]:
    """Named tensors and their description.

    Raises:
        Gesture3dError: there is no such file, or it is not a whole checkpoint of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise Gesture3dError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, AttributeError) as error:
        raise Gesture3dError(f"{path}: not a readable safetensors file ({error})") from None
    if said.get("format") != FORMAT:
        found = one_line(said.get("format"), 40)
        raise Gesture3dError(f"{path}: not a gesture3d checkpoint (format {found}, not {FORMAT})")
    try:
        return tensors, parse_json(said.get("description", ""), _DESCRIPTION)
    except ValueError as error:
        raise Gesture3dError(f"{path}: the checkpoint's description is broken ({error})") from None


def add_calibration(path: Path, calibration: Calibration, to: Path | None = None) -> None:
    """Write the checkpoint again, in its place or ``to`` another, with this calibration in it."""
    tensors, description = load(path)
    save(to or path, tensors, replace(description, calibration=calibration))


def add_online_decision(path: Path, decision: OnlineDecision, to: Path | None = None) -> None:
    """The same with how events are decided.

    Raises:
        Gesture3dError: it decides on a class that the checkpoint does not have.
    """
    tensors, description = load(path)
    unknown = [name for name in decision.thresholds if name not in description.class_names]
    if unknown:
        raise Gesture3dError(f"{path}: no class {one_line(unknown[0], 60)!r} to decide on")
    save(to or path, tensors, replace(description, online=decision))


def load_model(path: Path | str) -> tuple[nn.Module, Description]:
    """The trained network of a checkpoint, in evaluation mode, with its description."""
    tensors, description = load(path)
    weights, config = weights_of(tensors), description.validated_experiment(path).model
    if (description.num_features is None) == (config.reads == "sequences"):
        raise Gesture3dError(
            f"{path}: num_features {description.num_features} does not fit its model {config.name}"
        )
    sizes = len(description.class_names), description.num_features
    with _NoLarger(sum(t.numel() for t in weights.values()), path):
        model = build_model(config, *sizes)
    load_weights(model, weights, path)
    return model.eval(), description


class _NoLarger(TorchFunctionMode):
    """Within, no network is built that is larger than its weights, whatever sizes a file names."""

    def __init__(self, numbers: int, source: Path | str) -> None:
        super().__init__()
        self._left, self._source = 2 * numbers + 1_000_000, source  # with what is passing

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.empty, torch.zeros, torch.ones):
            self._left -= result.numel()
            if self._left < 0:
                raise Gesture3dError(
                    f"{self._source} does not fit the network: the sizes that its experiment names "
                    "are larger than its weights"
                )
        return result


def weights_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's tensors without prefix, of a weights file or of a ``last.ckpt``."""
    for prefix in ("ema.", "model."):
        found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if found:
            return found
    return tensors


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: Path | str) -> None:
    """Load all weights; names, shapes or values that are wrong are refused and printed."""
    wrong = mismatches(model, weights)
    if wrong:
        raise Gesture3dError(f"{source} does not fit the network: {_some(wrong)}")
    check_values(model, weights, source)
    model.load_state_dict(weights)


def check_values(model: nn.Module, weights: dict[str, Tensor], source: Path | str) -> None:
    """Raise where numbers are of another kind than the network's, or not finite in its precision.

    Names that the network does not have are left out.
    """
    own, wrong = model.state_dict(), {}
    for name in own.keys() & weights.keys():
        reason = wrong_values(weights[name], own[name].dtype)
        if reason:
            wrong[name] = reason
    if wrong:
        raise Gesture3dError(f"{source}: no usable weights: {_some(wrong)}")


def wrong_values(tensor: Tensor, dtype: torch.dtype) -> str | None:
    """Why these numbers cannot become ones of ``dtype``."""
    is_whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if not (tensor.is_floating_point() if dtype.is_floating_point else is_whole):
        return f"{tensor.dtype} in the file, {dtype} in the network".replace("torch.", "")
    numbers = tensor.detach().to("cpu", dtype).numpy()  # whose test needs no threads
    return None if np.isfinite(numbers).all() else "NaN or infinite numbers"


def prepared_alike(experiment: Experiment, path: Path | str) -> Experiment:
    """The experiment with clips stabilised, and cut down to what moves in them, where the weights
    of ``path`` learnt from such, which their tensors do not show: unless it says otherwise itself,
    or cannot."""
    theirs = load(path)[1].validated_experiment(path)
    model, data = experiment.model, experiment.data
    can = all(getattr(model, k, None) == getattr(theirs.model, k, 0) for k in _STABILISE_NEEDS)
    if getattr(theirs.model, "stabilise", False) and can and _is_open(model, "stabilise"):
        model = model.model_copy(update={"stabilise": True})
    framing = getattr(theirs.data, "framing", "whole")
    can = getattr(data, "pixels", None) == "rgb" and not data.streams
    if framing != "whole" and can and _is_open(data, "framing"):
        data = data.model_copy(update={"framing": framing})
    if model is experiment.model and data is experiment.data:
        return experiment
    return experiment.model_copy(update={"model": model, "data": data})


def _is_open(section: Section, setting: str) -> bool:
    """Whether neither a recipe nor the user has said it."""
    return setting not in section.model_fields_set


def initialise_from(
    model: nn.Module, experiment: Experiment, path: Path | str, class_names: Sequence[str] = ()
) -> str:
    """Start from the weights of ``path`` (fine-tuning); a head of another size stays fresh.

    The head is the submodule that the network names in its attribute ``head``. A causal network may
    start from one for clips, which has the same layers; channels of its input that the other lacks
    (differences of frames) start at zero. A stem may take larger or smaller steps over larger or
    smaller frames: what lies above it then sees maps of the same size, of finer or coarser frames.

    Args:
        class_names: of ``model``; what a head of another size knows of classes of the same names
            is taken over.

    Returns:
        What was done, in one line.

    Raises:
        Gesture3dError: any other parameter differs, or the input handling does.
    """
    tensors, description = load(path)
    trained = description.validated_experiment(path)
    theirs, ours = trained.model, experiment.model
    becomes_causal = ours.is_causal and not theirs.is_causal
    free = (*_FREE, *_CAUSAL) if becomes_causal else _FREE
    behaviour = [k for k in type(ours).model_fields if k not in free]
    pairs = {k: (getattr(theirs, k, None), getattr(ours, k)) for k in behaviour}
    there, here = pairs.get("stem_stride", (None, None))
    if there and here and there[0] == here[0]:  # the same steps in time
        del pairs["stem_stride"]
    differing = {k: (there, here) for k, (there, here) in pairs.items() if there != here}
    if differing:
        changes = "; ".join(f"model.{k}: {t} there, {h} here" for k, (t, h) in differing.items())
        raise Gesture3dError(f"cannot start from {path}: {changes}")
    weights = weights_of(tensors)
    if becomes_causal:
        weights = _with_new_inputs(model, weights)
    wrong = mismatches(model, weights)
    check_values(model, weights, path)
    if any(not name.startswith(f"{model.head}.") for name in wrong):
        raise Gesture3dError(f"cannot start from {path}: {_some(wrong)}")
    model.load_state_dict({k: v for k, v in weights.items() if k not in wrong}, strict=False)
    started = f"started from {path}"
    for name, usual in (("model.stabilise", False), ("data.framing", "whole")):
        section, setting = name.split(".")
        there, here = (
            getattr(getattr(side, section), setting, usual) for side in (trained, experiment)
        )
        if (there, here) != (usual, usual):
            started += f", {name}: {there} there, {here} here"
    if not wrong:
        return started
    names = description.class_names
    known = [name for name in class_names if name in names]
    rows = [class_names.index(name) for name in known], [names.index(name) for name in known]
    own = model.state_dict()
    for name in wrong:
        if _is_by_class(own.get(name), class_names) and _is_by_class(weights.get(name), names):
            own[name][rows[0]] = weights[name][rows[1]].to(own[name])
    said = f"; it knows {len(known)} classes by their names" if known else ""
    return f"{started}; its head for {len(names)} classes was replaced by a new one{said}"


def _with_new_inputs(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels for more input channels than there are in ``weights``, zero for the new ones."""
    found = dict(weights)
    for name, own in model.state_dict().items():
        kernel = weights.get(name)
        if kernel is None or own.ndim < 3 or kernel.ndim != own.ndim:
            continue
        known = kernel.shape[1]
        if own[:, :known].shape == kernel.shape != own.shape:
            found[name] = torch.cat([kernel, kernel.new_zeros(own[:, known:].shape)], 1)
    return found


def _is_by_class(tensor: Tensor | None, class_names: Sequence[str]) -> bool:
    return tensor is not None and tensor.ndim > 0 and len(tensor) == len(class_names)


def mismatches(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, str]:
    """Names that are missing, unknown or of another shape, each with what is wrong."""
    own = model.state_dict()
    wrong = {name: "missing in the file" for name in own if name not in weights}
    wrong |= {name: "unknown to the network" for name in weights if name not in own}
    for name in own.keys() & weights.keys():
        if own[name].shape != weights[name].shape:
            found, expected = list(weights[name].shape), list(own[name].shape)
            wrong[name] = f"shape {found} in the file, {expected} in the network"
    return wrong


def _some(wrong: dict[str, str], limit: int = 6) -> str:
    text = "; ".join(
        f"{one_line(name, 100)}: {reason}" for name, reason in list(wrong.items())[:limit]
    )
    return text + (f"; and {len(wrong) - limit} more" if len(wrong) > limit else "")


def versions() -> dict[str, str]:
    """The versions a result depends on: Python, libraries, and this project's git revision."""
    return {
        "gesture3d": _git_revision(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


@functools.cache
def _git_revision() -> str:
    """Of this project's own checkout; installed, it may lie in somebody else's: its version.

    ``-dirty`` where the code or a configuration was changed since; texts and tables change nothing.
    """
    if not (PACKAGE.parent / ".git").exists():
        return metadata.version("gesture3d")
    git = ["git", "-C", str(PACKAGE.parent)]
    changes = [*git, "status", "--porcelain", "-uno", "--", "*.py", "*.yaml", "*.toml"]
    try:
        said, changed = (
            subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            for command in ([*git, "describe", "--always", "--abbrev=12"], changes)
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.strip() + ("-dirty" if changed else "")
