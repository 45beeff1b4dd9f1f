"""What an exported file says of itself, as JSON in its metadata."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict, TypeAdapter

from gesture3d.decisions import Calibration, OnlineDecision
from gesture3d.errors import Gesture3dError
from gesture3d.stored import NonNegative, Number, Text, Whole, parse_json
from gesture3d.text import one_line

FORMAT = "gesture3d-export/1"
KEY = "gesture3d"  # of an ONNX file's metadata; of a .pt2 file's extra files, with .json
INSTALL = "pip install 'gesture3d[export]' (in a checkout: uv run --extra export …)"


@dataclass(frozen=True)
class Proof:
    """How a file was compared with the network that it was made of.

    Attributes:
        difference: the largest of any score.
        runtime: what ran the file.
        batches: ``[batch, frames]`` of each comparison.
        real: how many of the samples were no random numbers.
        events: of step models, how many were decided in these streams, the same by both sides.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    difference: NonNegative
    runtime: Text
    batches: list[tuple[Whole, Whole]]
    real: Whole = 0
    events: Whole | None = None


@dataclass(frozen=True)
class Exported:
    """All that is needed to use an exported file.

    Attributes:
        kind: ``clip``: one input to scores (B, K); ``step``: the next ``step_frames`` frames and a
            state, see ``state_shapes``, to scores (B, K) and the next state.
        reads: ``clips``, uint8 pixels 0..255 (B, T, C, H, W), or ``sequences``, float32 (B, T, D),
            in one batch of equal length, as the data set's stream makes them.
        shape: of one sample, (T, C, H, W) or (T, D); None: any, from ``shortest`` on.
        rate_hz: samples a second, where the stream has a clock.
        channel_names: of D, where they have names.
        preparation: the settings by which a video or recording becomes a sample.
        state_shapes: of the state's tensors, float32, without their first axis B; a stream begins
            with zeros.
        calibration: its temperature is part of the file: scores are divided by it.
        online: how scores over time become events.
        card: what the network has learnt, and how.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["clip", "step"]
    network: Text
    class_names: Annotated[list[Text], Field(min_length=1)]
    reads: Literal["clips", "sequences"]
    shape: tuple[Whole | None, ...]
    shortest: Whole = 1
    rate_hz: Number | None = None
    channel_names: list[Text] | None = None
    preparation: dict[Text, Any] = field(default_factory=dict)
    step_frames: Annotated[int, Strict(), Field(ge=1)] | None = None
    state_shapes: list[tuple[Whole, ...]] = field(default_factory=list)
    precision: Literal["float32", "int8"] = "float32"
    calibration: Calibration | None = None
    online: OnlineDecision | None = None
    card: Text = ""
    versions: dict[Text, Text] = field(default_factory=dict)
    proof: Proof | None = None

    def to_json(self) -> str:
        said = {"format": FORMAT, **asdict(self)}
        return json.dumps(said, ensure_ascii=False, allow_nan=False)


_EXPORTED = TypeAdapter(Exported)


def from_json(text: str, source: Path | str) -> Exported:
    """Raises Gesture3dError: the text is none of an exported file of this format."""
    try:
        said = parse_json(text, TypeAdapter(dict[str, Any]))
        if said.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return _EXPORTED.validate_python(said)
    except ValueError as error:
        raise Gesture3dError(
            f"{source}: no file of tools/export.py ({one_line(error, 200)})"
        ) from None


def read_onnx(path: Path | str) -> Exported:
    """What an ONNX file of ``tools/export.py`` says of itself; PyTorch is not needed.

    Raises:
        Gesture3dError: there is no such file, or it is none of ours; the extra is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise Gesture3dError(f"{path}: no such file")
    onnx = needed("onnx")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # google.protobuf's own, which is no dependency by name
        raise Gesture3dError(f"{path}: no ONNX file ({one_line(error, 100)})") from None
    said = {entry.key: entry.value for entry in model.metadata_props}
    return from_json(said.get(KEY, ""), path)


def needed(name: str) -> Any:
    """A module of the extra ``export``. Raises Gesture3dError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise Gesture3dError(f"{name} is not installed, which exporting needs: {INSTALL}") from None
