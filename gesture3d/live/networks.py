"""The networks that can be chosen: those that read what a camera sees, in ``weights/`` and runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gesture3d.errors import Gesture3dError
from gesture3d.files import resource

if TYPE_CHECKING:
    from gesture3d.inference.online import Follower

MOST = 200
SUFFIX = ".safetensors"  # nothing else is opened


@dataclass(frozen=True)
class Choice:
    """Attributes:
    key: by which the page chooses it.
    kind: ``video``, ``stream`` (video, causal) or ``hands``.
    """

    key: str
    path: Path
    kind: str
    class_names: tuple[str, ...]


class Networks:
    """What is there, looked up anew each time; the page's key is looked for among it."""

    def __init__(self, runs: Path) -> None:
        self.runs = Path(runs)
        self._known: dict[tuple[str, float], Choice | None] = {}

    def listed(self) -> dict[str, Choice]:
        """By key: shipped ones, then those of runs, the newest first."""
        runs = sorted(
            ((p.stat().st_mtime, p.parent.name, p) for p in self.runs.glob(f"*/best{SUFFIX}")),
            reverse=True,
        )
        found = [(f"runs/{name}", path) for _, name, path in runs[:MOST]]
        shipped = sorted(resource("weights").glob(f"*{SUFFIX}"), reverse=True)
        found = [*((f"weights/{path.stem}", path) for path in shipped), *found]
        choices = [self._choice(key, path) for key, path in found]
        return {choice.key: choice for choice in choices if choice}

    def find(self, key: object) -> Choice:
        """Raises Gesture3dError where there is none of this key."""
        found = self.listed().get(str(key))
        if found is None:
            raise Gesture3dError("there is no such network (any more); choose another one")
        return found

    def _choice(self, key: str, path: Path) -> Choice | None:
        try:
            changed = path.stat().st_mtime
        except OSError:
            return None
        known = str(path), changed
        if known not in self._known:
            self._known[known] = _read(key, path)
        return self._known[known]


def follow(choice: Choice) -> Follower:
    """What follows a stream of frames with this network, which is loaded."""
    from gesture3d.inference.classifier import Classifier
    from gesture3d.inference.sliding import Sliding
    from gesture3d.inference.stream import Stream

    classifier = Classifier(choice.path)
    return Stream(classifier) if choice.kind == "stream" else Sliding(classifier)


def _read(key: str, path: Path) -> Choice | None:
    """What a checkpoint says of itself, without its weights; None where a camera is not its eye."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            said: Any = json.loads((file.metadata() or {})["description"])
        data, names = said["experiment"]["data"], [str(name) for name in said["class_names"]]
        kind = _kind(data, said["experiment"].get("model", {}), said.get("online"))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    except RecursionError:
        return None
    return Choice(key, path, kind, tuple(names)) if kind else None


def _kind(data: dict, model: dict, online: object) -> str | None:
    if data.get("hands") and not model.get("causal"):
        return "hands"
    if model.get("name", "gesture_net") not in ("gesture_net", "r3d_18"):
        return None
    if data.get("modality", "rgb") != "rgb" or "size" not in data:
        return None
    if "rate_hz" in data:
        return "stream" if online else None
    return "video"
