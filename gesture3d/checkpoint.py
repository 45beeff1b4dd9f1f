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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gesture3d.config import Experiment, validate_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, atomic_path
from gesture3d.models import build_model

FORMAT = "gesture3d/1"

# What fine-tuning may change: another modality has other means (the paper's recipe for IsoGD).
_FREE = ("dropout", "forget_bias", "channel_means")


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of itself."""

    experiment: dict[str, Any]  # the resolved `Experiment`, as plain data
    class_names: list[str]  # index in the scores → name
    data_fingerprint: dict[str, str]  # split → hash of its sample keys and labels
    metrics: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)  # position in the run, history
    versions: dict[str, str] = field(default_factory=lambda: versions())
    num_features: int | None = None  # of a frame, where the network reads sequences
    channel_names: list[str] | None = None  # of CSV recordings, in the network's order

    def validated_experiment(self, source: Path | str) -> Experiment:
        return validate_experiment(self.experiment, f"{source} (experiment)")


def save(path: Path, tensors: dict[str, Tensor], description: Description) -> None:
    """Write named tensors and their description, atomically.

    Raises:
        Gesture3dError: the file cannot be written (a full disk); an older one is still there.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    metadata = {"format": FORMAT, "description": json.dumps(asdict(description))}
    with atomic_path(Path(path)) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
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
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise Gesture3dError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        raise Gesture3dError(f"{path}: not a gesture3d checkpoint (format {found}, not {FORMAT})")
    try:
        return tensors, Description(**json.loads(metadata["description"]))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise Gesture3dError(f"{path}: the checkpoint's description is broken ({error})") from None


def load_model(path: Path | str) -> tuple[nn.Module, Description]:
    """The trained network of a checkpoint, in evaluation mode, with its description."""
    tensors, description = load(path)
    experiment = description.validated_experiment(path)
    model = build_model(experiment.model, len(description.class_names), description.num_features)
    load_weights(model, weights_of(tensors), path)
    return model.eval(), description


def weights_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network's tensors without prefix, of a weights file or of a ``last.ckpt``."""
    for prefix in ("ema.", "model."):
        found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if found:
            return found
    return tensors


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: Path | str) -> None:
    """Load all weights; a mismatch of names or shapes is refused with the names printed."""
    wrong = mismatches(model, weights)
    if wrong:
        raise Gesture3dError(f"{source} does not fit the network: {_some(wrong)}")
    model.load_state_dict(weights)


def initialise_from(model: nn.Module, experiment: Experiment, path: Path | str) -> str:
    """Start from the weights of ``path`` (fine-tuning); a head of another size stays fresh.

    The head is the submodule that the network names in its attribute ``head``.

    Returns:
        What was done, in one line.

    Raises:
        Gesture3dError: any other parameter differs, or the input handling does.
    """
    tensors, description = load(path)
    theirs = description.validated_experiment(path).model
    ours = experiment.model
    behaviour = [k for k in type(ours).model_fields if k not in _FREE]
    pairs = {k: (getattr(theirs, k, None), getattr(ours, k)) for k in behaviour}
    differing = {k: (there, here) for k, (there, here) in pairs.items() if there != here}
    if differing:
        changes = "; ".join(f"model.{k}: {t} there, {h} here" for k, (t, h) in differing.items())
        raise Gesture3dError(f"cannot start from {path}: {changes}")
    weights = weights_of(tensors)
    wrong = mismatches(model, weights)
    if any(not name.startswith(f"{model.head}.") for name in wrong):
        raise Gesture3dError(f"cannot start from {path}: {_some(wrong)}")
    model.load_state_dict({k: v for k, v in weights.items() if k not in wrong}, strict=False)
    if not wrong:
        return f"started from {path}"
    count = len(description.class_names)
    return f"started from {path}; its head for {count} classes was replaced by a new one"


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
    text = "; ".join(f"{name}: {reason}" for name, reason in list(wrong.items())[:limit])
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
    command = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
