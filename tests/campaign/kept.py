"""What our own programs leave and read again, and what is fetched: hands, generated sets, prepared
files, collections, cross-validations, exported networks."""

import io
import json
import tarfile
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from gesture3d.config import load_data, load_experiment
from gesture3d.data import read_index
from gesture3d.data.index import Index
from gesture3d.data.video.prepared.flow import kept_flow
from gesture3d.errors import Gesture3dError
from gesture3d.export.described import KEY, Exported, Proof, read_onnx
from gesture3d.hands.networks import GraphNetwork
from gesture3d.hands.tflite import read_graph
from gesture3d.hands.track import HandTrack
from gesture3d.hands.weights import unpack_weights
from gesture3d.studies.folds import report_folds
from gesture3d.studies.runner import PlannedRun
from gesture3d.synthetic import generate as generated
from gesture3d.work.classify import header, table_rows
from gesture3d.work.manifest import open_manifest
from gesture3d.work.merge import only_work, status, write_table
from gesture3d.work.places import Store
from tests.hands.test_networks import SIZE, draw_numbers, residual_block
from tests.hands.test_track import some_track
from tests.hands.test_weights import CONTENTS, npm_files
from tests.work.test_damaged_results import finished

from .arrays import archived
from .judge import Kind, Outcome, outcome
from .texts import count_lines, count_rows, odd_json, odd_table

# --- hands ---------------------------------------------------------------------------------------


def _make_track(folder: Path) -> list[Path]:
    some_track(12).save(folder / "clip.npz")
    return [folder / "clip.npz"]


def _read_track(_: Path, path: Path) -> Outcome:
    found = HandTrack.load(path)
    values = (np.nan_to_num(found.joints), np.nan_to_num(found.world), found.presence)
    return outcome((len(found),), *values, found.seconds, (found.width, found.height))


def _make_network(folder: Path) -> list[Path]:
    (folder / "palm_detection_lite.tflite").write_bytes(residual_block(draw_numbers()))
    return [folder / "palm_detection_lite.tflite"]


def _read_network(_: Path, path: Path) -> Outcome:
    network = GraphNetwork(read_graph(path.read_bytes(), str(path)), str(path))
    images = torch.linspace(0, 1, 3 * SIZE * SIZE).reshape(1, 3, SIZE, SIZE)
    try:
        outputs = [output.numpy() for output in network(images)]
    except ValueError as error:
        raise Gesture3dError(f"{path}: {error}") from None
    shapes = [output.shape for output in outputs]
    return outcome((len(outputs),), shapes, *(np.nan_to_num(output) for output in outputs))


def _make_packages(folder: Path) -> list[Path]:
    """The npm package, a wheel of MediaPipe."""
    with tarfile.open(folder / "hands.tgz", "w:gz") as archive:
        for name, content in npm_files().items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    members = {f"mediapipe/modules/{name}.tflite": content for name, content in CONTENTS.items()}
    return [folder / "hands.tgz", archived(folder / "mediapipe.whl", members)]


def _read_package(_: Path, path: Path) -> Outcome:
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as target:
        contents = {p.name: p.read_bytes() for p in unpack_weights(path, Path(target))}
    return outcome((len(contents),), sorted(contents.items()))


# --- what is prepared ----------------------------------------------------------------------------


def _make_generated(folder: Path) -> list[Path]:
    """A set whose videos are empty files: what is read of it are its lists."""
    counts = {"train": 1, "validation": 1, "test": 1}
    known = {"generator_version": generated.GENERATOR_VERSION, "seed": 0, "hard": False}
    known["clips_per_class"] = counts
    (folder / "generation.json").write_text(json.dumps(known))
    for clip in generated._plan(known):
        for path in generated._paths(folder, clip):
            path.parent.mkdir(exist_ok=True)
            path.touch()
    generated.generate(folder, clips_per_class=counts, progress=False)
    return [folder / "dataset.json"]


def _read_generated(folder: Path, _: Path) -> Outcome:
    counts = "data.clips_per_class={train: 1, validation: 1, test: 1}"
    index = read_index(load_data("synthetic", [f"data.root={folder}", counts]), progress=False)
    return outcome((len(index.items),), [(i.key, i.label, i.split) for i in index.items])


def _make_flow(folder: Path) -> list[Path]:
    kept_flow(folder).complete(Index(("a",), []), progress=False)
    return [folder / "flow.json"]


def _read_flow(folder: Path, _: Path) -> Outcome:
    return outcome((1,), kept_flow(folder).complete(Index(("a",), []), progress=False))


# --- collections, cross-validations, exports -----------------------------------------------------


def _make_list(folder: Path) -> list[Path]:
    names = [f"clips/{number:03d}.mp4" for number in range(24)]
    (folder / "clips").mkdir()
    for name in names:
        (folder / name).touch()
    (folder / "clips.csv").write_text("\n".join(["label,path", *(f"x,{n}" for n in names)]) + "\n")
    (folder / "clips.txt").write_text("\n".join(names) + "\n")
    return [folder / "clips.csv", folder / "clips.txt"]


def _read_list(_: Path, path: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as out:
        store = Store(out)
        manifest = open_manifest(store, str(path), [".mp4"])
        entries = [e for n in range(manifest.num_blocks) for e in manifest.entries(store, n)]
    return outcome((len(entries),), entries)


def _listed(path: Path) -> int:
    return count_rows(path) if path.suffix == ".csv" else count_lines(path)


def _make_collection(folder: Path) -> list[Path]:
    """Of 40 clips in three blocks, all done."""
    (folder / "clips").mkdir()
    for number in range(40):
        (folder / "clips" / f"{number:03d}.mp4").touch()
    finished(folder / "clips", folder / "out")
    return sorted(p for p in (folder / "out").rglob("*") if p.suffix in (".csv", ".json", ".jsonl"))


def _odd_result(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return (odd_json if content.startswith(b"{") else odd_table)(content, other, rng)


def _read_collection(folder: Path, _: Path) -> Outcome:
    """How far it is, and its table."""
    work = only_work(Store(str(folder / "out")))
    lines = status(work).lines()
    table = folder / "table.csv"
    count = write_table(table, work, header(1), partial(table_rows, top=1))
    return outcome((count,), lines, table.read_bytes())


RUN = ("gru", "skeleton_folder")
FOLDS = [
    PlannedRun(
        f"fold-{n}-seed-0",
        "gru",
        "skeleton_folder",
        0,
        (),
        load_experiment("gru", "skeleton_folder"),
    )
    for n in (1, 2)
]


def _make_folds(folder: Path) -> list[Path]:
    for run in FOLDS:
        path = folder / run.name / "evaluation-test" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"top1": 0.75, "top5": 1.0, "samples": 20}))
    return sorted(folder.rglob("metrics.json"))


def _read_folds(folder: Path, _: Path) -> Outcome:
    return outcome((len(FOLDS),), report_folds(FOLDS, folder)[1])


def _make_exported(folder: Path) -> list[Path]:
    """As `gesture3d.export.write` leaves it, of a network that does nothing."""
    said = Exported(
        "clip", "gru", ["left", "right"], "sequences", (None, 6), proof=Proof(1e-6, "x", [(1, 9)])
    )
    values = [onnx.helper.make_tensor_value_info(n, 1, [1, 6]) for n in ("inputs", "scores")]
    node = onnx.helper.make_node("Identity", ["inputs"], ["scores"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    onnx.helper.set_model_props(model, {KEY: said.to_json()})
    onnx.save(model, str(folder / "gru.onnx"))
    return [folder / "gru.onnx"]


def _read_exported(_: Path, path: Path) -> Outcome:
    found = read_onnx(path)
    return outcome((len(found.class_names),), found)


def kinds() -> list[Kind]:
    def text(name: str, make, read, odd=odd_json, holds=lambda _: None) -> Kind:
        return Kind(name, make, read, holds, odd)

    return [
        Kind("hands of a clip .npz", _make_track, _read_track),
        Kind("hands .tflite", _make_network, _read_network),
        Kind("hands .tgz, .whl", _make_packages, _read_package),
        text("dataset.json", _make_generated, _read_generated),
        text("flow.json", _make_flow, _read_flow),
        text("classify --list", _make_list, _read_list, odd_table, _listed),
        text("results of a collection", _make_collection, _read_collection, _odd_result),
        text("metrics of folds", _make_folds, _read_folds),
        Kind("exported .onnx", _make_exported, _read_exported),
    ]
