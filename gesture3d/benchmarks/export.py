"""What each network becomes when it is exported: how far off, how large, how fast.

Networks are untrained ones of their recipes, with running statistics and weights of batch norms
drawn at random, so that scores depend on everything. Rows are kept in a CSV, and shown in the
README.md beside it.
"""

import csv
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gesture3d import checkpoint
from gesture3d.benchmarks.tables import Row
from gesture3d.benchmarks.timing import Clock, interleave, milliseconds
from gesture3d.config import InertialInputsConfig, ModelConfig, load_experiment, read_settings
from gesture3d.config.experiment import kind_name, union_members
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.export.int8 import write_int8
from gesture3d.export.verify import choose_inputs, expected_scores, onnx_call, onnx_scores
from gesture3d.export.write import Source, export, open_source
from gesture3d.files import resource, write_text
from gesture3d.models import build_model
from gesture3d.models.folding import fold_batch_norms
from gesture3d.text import csv_text

# Data set, features of a frame, frames that are timed: of networks for clips, for windows, others.
CLIPS, WINDOWS, SKELETONS = ("synthetic", None, 16), ("hapt", 6, 128), ("utd_mhad_skeleton", 60, 60)
CAUSAL = ("model.causal=true",)
CAUSAL_CLIPS = (*CAUSAL, "model.preprocessing=running_mean", "model.differences=true")
CLASSES = 27
RANGES = 4  # samples that int8 takes its ranges of
KEY = ("network", "kind")
COLUMNS = (*KEY, "frames", "PyTorch, ms", "folded, ms", "ONNX: difference", "ONNX: ms", "ONNX: MB")
COLUMNS += (".pt2: difference", ".pt2: ms", ".pt2: MB", "int8: difference", "int8: ms", "int8: MB")
COLUMNS += ("events", "problem")
BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"


@dataclass(frozen=True)
class Recipe:
    """What a network of ``configs/`` is measured on, and the settings with which it is causal; None
    where it cannot be."""

    data: str
    num_features: int | None
    num_frames: int
    causal: tuple[str, ...] | None


@functools.cache
def recipes() -> dict[str, Recipe]:
    """Of every network in ``configs/``."""
    kinds = {kind_name(kind): kind for kind in union_members(ModelConfig)}
    found = {}
    for path in sorted(resource("configs").glob("*.yaml")):
        kind = kinds[read_settings(path)["name"]]
        of_clips, of_windows = kind.reads == "clips", issubclass(kind, InertialInputsConfig)
        sizes = CLIPS if of_clips else WINDOWS if of_windows else SKELETONS
        causal = CAUSAL_CLIPS if of_clips else CAUSAL
        try:
            load_experiment(path.stem, sizes[0], list(causal))
        except Gesture3dError:  # no such setting, or it looks ahead otherwise
            causal = None
        found[path.stem] = Recipe(*sizes, causal)
    return found


def matrix(names: Sequence[str], seconds: float) -> Iterator[Row]:
    """A row for each network and kind (clip; of causal ones also step), with every runtime.

    Args:
        names: of networks in ``configs/``; none: all.
        seconds: of each measurement of speed.

    Raises:
        Gesture3dError: an unknown network; a missing extra. A file that differs is a ``problem``.
    """
    known = recipes()
    for name in names:
        if name not in known:
            raise Gesture3dError(f"no network {name!r} here.{did_you_mean(name, known)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names or known:
            for causal in (False, True)[: 1 + (known[name].causal is not None)]:
                weights = Path(folder) / f"{name}.safetensors"
                _write_network(weights, name, known[name].causal if causal else ())
                for kind in ("clip", "step")[: 1 + causal]:
                    row = _row(weights, kind == "step", known[name].num_frames, seconds)
                    yield {"network": name + ", causal" * causal, "kind": kind, **row}


def record(path: Path, new: Sequence[Row]) -> None:
    """Write rows into the CSV, in the places of those of the same `KEY`, and the table of all of
    them between the marks in the README.md beside it, where that has such."""
    there = list(csv.DictReader(path.read_text("utf-8").splitlines())) if path.is_file() else []
    rows = {tuple(row[name] for name in KEY): row for row in (*there, *map(_texts, new))}
    found = [[row.get(name) or "" for name in COLUMNS] for row in rows.values()]
    write_text(path, csv_text([COLUMNS, *found]))
    readme = path.with_name("README.md")
    if readme.is_file() and BEGIN in (text := readme.read_text("utf-8")):
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        write_text(readme, f"{before}{BEGIN}\n\n{table(path)}\n\n{END}{after}")


def table(path: Path) -> str:
    """The rows of a CSV of `record` in Markdown."""
    head, *rows = csv.reader(path.read_text("utf-8").splitlines())
    shown = [n for n, _ in enumerate(head) if any(row[n] for row in rows)]
    lines = [[line[n] for n in shown] for line in (head, *rows)]
    lines.insert(1, ["---"] * len(shown))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _texts(row: Row) -> dict[str, str]:
    """Times and sizes to three digits."""
    return {
        name: f"{value:#.3g}".rstrip(".") if isinstance(value, float) else str(value)
        for name, value in row.items()
        if value is not None
    }


def _write_network(path: Path, name: str, settings: Sequence[str]) -> None:
    features = recipes()[name].num_features
    experiment = load_experiment(name, recipes()[name].data, list(settings))
    torch.manual_seed(0)
    model = build_model(experiment.model, CLASSES, features)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            _disturb(module)
    description = checkpoint.Description(
        experiment.model_dump(mode="json"),
        [f"class {n}" for n in range(CLASSES)],
        {},
        num_features=features,
    )
    checkpoint.save(path, model.state_dict(), description)


@torch.no_grad()
def _disturb(norm: nn.Module) -> None:
    for tensor in (norm.weight, norm.running_var):
        if tensor is not None:
            tensor.uniform_(0.5, 1.5)
    for tensor in (norm.bias, norm.running_mean):
        if tensor is not None:
            tensor.normal_(0.0, 0.3)


def _row(weights: Path, step: bool, frames: int, seconds: float) -> Row:
    source = open_source(weights, step=step)
    shape = source.exported.shape
    one = choose_inputs(source.exported, []).batches[0][:1]
    one = one if shape[0] else np.resize(one, (1, frames, *shape[1:]))
    values = [one, *(np.zeros((1, *s), np.float32) for s in source.exported.state_shapes)]
    tensors = [torch.from_numpy(value) for value in values]
    row: Row = {"frames": one.shape[1]}
    sides: dict[str, Callable] = {"PyTorch, ms": _plain(source.model, step, tensors)}
    if not step:
        folded = fold_batch_norms(source.model)
        sides["folded, ms"] = lambda: folded(tensors[0])
    files = {"ONNX": weights.with_suffix(".onnx"), ".pt2": weights.with_suffix(".pt2")}
    try:
        for (name, path), to in zip(files.items(), ("onnx", "torch"), strict=True):
            proof = export(source, to, path).proof
            row[f"{name}: difference"] = f"{proof.difference:.1e}"
            row["events"] = None if proof.events is None else str(proof.events)
        files["int8"] = weights.with_name("int8.onnx")
        row["int8: difference"] = f"{_to_int8(source, files['ONNX'], files['int8']):.1e}"
    except Gesture3dError as problem:
        return row | {"problem": str(problem)}
    for name, path in files.items():
        row[f"{name}: MB"] = path.stat().st_size / 1e6
        sides[f"{name}: ms"] = _of_file(path, values, tensors)
    with torch.inference_mode():
        times = interleave(sides, Clock(torch.device("cpu")), seconds)
    return row | {name: milliseconds(times[name]) for name in sides}


def _to_int8(source: Source, full: Path, path: Path) -> float:
    """How far off scores are on other samples than those that the ranges are taken of."""
    exported, samples = source.exported, []
    if exported.reads == "clips":
        frames, *frame = source.spec.shape
        samples = list(torch.randint(0, 256, (RANGES, frames, *frame), dtype=torch.uint8))
    write_int8(exported, full, path, samples)
    inputs = choose_inputs(exported, []).batches
    found = onnx_scores(path, exported, inputs)
    expected = [expected_scores(source.model, exported, x) for x in inputs]
    return max(float(abs(a - b).max()) for a, b in zip(found, expected, strict=True))


def _plain(model: nn.Module, step: bool, tensors: list[Tensor]) -> Callable:
    return (lambda: model.step(tensors[0], tensors[1:])) if step else lambda: model(tensors[0])


def _of_file(path: Path, values: list[np.ndarray], tensors: list[Tensor]) -> Callable:
    if path.suffix == ".pt2":
        program = torch.export.load(path).module()
        return lambda: program(*tensors)
    call = onnx_call(path)
    return lambda: call(values)
