"""From a checkpoint to a file that other programs run, proven equal before it is there."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gesture3d import checkpoint
from gesture3d.errors import Gesture3dError
from gesture3d.export.described import KEY, Exported, Proof, needed
from gesture3d.export.traced import shortest, trace
from gesture3d.export.verify import Inputs, choose_inputs, onnx_scores, prove, torch_scores
from gesture3d.files import atomic_path
from gesture3d.models.network import Network
from gesture3d.models.templates import Templates

if TYPE_CHECKING:
    from gesture3d.data.sets import DataSet
    from gesture3d.data.spec import InputSpec

OPSET = 18


@dataclass(frozen=True)
class Source:
    """A checkpoint that is to be exported as a clip model or a step model."""

    model: Network
    spec: "InputSpec"
    exported: Exported

    @functools.cached_property
    def program(self):
        """Traced once, see `trace`."""
        temperature = self.exported.calibration.temperature if self.exported.calibration else 1.0
        return trace(self.model, self.spec, temperature, step=self.exported.kind == "step")


def open_source(weights: Path | str, *, step: bool = False) -> Source:
    """Raises Gesture3dError: no usable checkpoint, one of templates; ``step`` of a network that is
    not causal."""
    model, description = checkpoint.load_model(weights)
    if isinstance(model, Templates):
        raise Gesture3dError(
            f"{weights}: templates, which are compared by dynamic time warping, are no network for "
            "other programs; train one on the same clips, e.g. tools/train.py --cfg deepgru_small"
        )
    experiment = description.validated_experiment(weights)
    spec = description.input_spec(experiment.data)
    if step and not model.causal:
        is_video = spec.kind == "clips"
        more = " model.preprocessing=running_mean model.differences=true" if is_video else ""
        raise Gesture3dError(
            f"{weights}: looks at whole samples, so it has no steps; train one that is causal with "
            f"tools/train.py … --set model.causal=true{more}, or leave --step out"
        )
    frames = model.step_frames if step else None
    shapes = model.state_shapes(1, spec.shape[2:]) if step else []
    exported = Exported(
        kind="step" if step else "clip",
        network=experiment.model.name,
        class_names=list(description.class_names),
        reads=spec.kind,
        shape=_shape(spec, frames),
        shortest=shortest(model),
        rate_hz=spec.rate_hz,
        channel_names=list(spec.channel_names) if spec.channel_names else None,
        preparation=_preparation(experiment.data),
        step_frames=frames,
        state_shapes=[shape[1:] for shape in shapes],
        calibration=description.calibration,
        online=description.online,
        card=_card(Path(weights), description, experiment.data.title),
        versions=description.versions | {"exported with torch": torch.__version__},
    )
    return Source(model, spec, exported)


def export(source: Source, to: str, path: Path, samples: Sequence[Tensor] = ()) -> Exported:
    """Write the file, run it, compare, and only then let it take its place.

    Args:
        to: ``onnx`` or ``torch``.
        samples: real ones, as the network gets them, to compare on beside random ones.

    Raises:
        Gesture3dError: it differs from PyTorch (nothing is written); an extra is missing.
    """
    inputs = choose_inputs(source.exported, samples)
    with atomic_path(path) as temporary:
        write = {"onnx": _write_onnx, "torch": _write_torch}[to]
        return write(source, temporary, path, inputs)


def _write_onnx(source: Source, temporary: Path, path: Path, inputs: Inputs) -> Exported:
    onnx, runtime = needed("onnx"), needed("onnxruntime")
    model = to_onnx(source)
    onnx.save(model, str(temporary))
    found = onnx_scores(temporary, source.exported, inputs.batches)
    name = f"onnxruntime {runtime.__version__}"
    proof = prove(source.model, source.exported, inputs, found, name, path)
    return describe_onnx(model, replace(source.exported, proof=proof), temporary)


def describe_onnx(model, exported: Exported, path: Path) -> Exported:
    """Write the model with what it is in its metadata, for `read_onnx`."""
    onnx = needed("onnx")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: exported.to_json()})
    onnx.save(model, str(path))
    return exported


def _write_torch(source: Source, temporary: Path, path: Path, inputs: Inputs) -> Exported:
    def save(exported: Exported) -> None:
        with temporary.open("wb") as file:
            said = {f"{KEY}.json": exported.to_json()}
            torch.export.save(source.program, file, extra_files=said)

    save(source.exported)
    found = torch_scores(temporary, source.exported, inputs.batches)
    name = f"torch {torch.__version__}"
    proof = prove(source.model, source.exported, inputs, found, name, path)
    exported = replace(source.exported, proof=proof)
    save(exported)
    return exported


def to_onnx(source: Source):
    """An ``onnx.ModelProto`` with names for its inputs, outputs and free axes."""
    optimizer = needed("onnxscript").optimizer
    step, state = source.exported.kind == "step", range(len(source.exported.state_shapes))
    outputs = ["scores", *(f"next_state_{n}" for n in state)]
    inputs = ["inputs", *(f"state_{n}" for n in state)]
    exported = torch.onnx.export(
        source.program, dynamo=True, opset_version=OPSET, verbose=False, optimize=False
    )
    # Once: what it does the second time by default is half of all time and leaves 1 % fewer nodes.
    optimizer.optimize(exported.model, num_iterations=1)
    model = exported.model_proto
    _rename(model.graph, inputs, outputs)
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        sizes[0].dim_param = "batch"
        if value.name == "inputs" and source.spec.kind == "sequences" and not step:
            sizes[1].dim_param = "time"
    del model.graph.value_info[:]  # whose axes have other names
    _forget_origin(model.graph)
    model.doc_string, model.producer_name = "", "gesture3d"
    return model


def _rename(graph, inputs: list[str], outputs: list[str]) -> None:
    pairs = [*zip(graph.input, inputs, strict=True), *zip(graph.output, outputs, strict=True)]
    names = {value.name: name for value, name in pairs}
    for value, name in pairs:
        value.name = name
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _forget_origin(graph) -> None:
    """Lines and files of this machine, which the exporter notes at every node."""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _forget_origin(attribute.g)


def _shape(spec: "InputSpec", step_frames: int | None) -> tuple[int | None, ...]:
    frames = step_frames or (spec.shape[0] if spec.kind == "clips" else None)
    return frames, *spec.shape[1:]


def _preparation(data: "DataSet") -> dict[str, Any]:
    """The settings by which files become samples, which is not part of what is exported."""
    names = {*data.input_settings, "mirrored_camera"}
    pixels = {"pixels": data.pixels} if data.kind == "clips" else {}
    return pixels | {n: v for n, v in data.model_dump(mode="json").items() if n in names}


def _card(weights: Path, description: checkpoint.Description, data: str) -> str:
    """The section on these weights in the README.md beside them; else what they say themselves."""
    readme = weights.with_name("README.md")
    if readme.is_file():
        text = readme.read_text(encoding="utf-8", errors="replace")
        _, there, section = text.partition(f"## {weights.name}\n")
        if there:
            return section.partition("\n## ")[0].strip()
    said = [f"{len(description.class_names)} classes of {data}"]
    said += [f"{name} {value}" for name, value in description.metrics.items()]
    return "; ".join(said)


def in_words(exported: Exported) -> str:
    """What was proven, in a line."""
    proof: Proof = exported.proof
    shapes = ", ".join(f"{batch} × {frames}" for batch, frames in dict.fromkeys(proof.batches))
    events = "" if proof.events is None else f", the same {proof.events} events"
    return (
        f"largest difference of a score from PyTorch {proof.difference:.2g}{events} "
        f"({proof.runtime}; {len(proof.batches)} batches, {proof.real} real samples; "
        f"samples × frames {shapes})"
    )
