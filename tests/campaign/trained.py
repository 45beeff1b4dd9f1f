"""What training leaves: checkpoints, runs to resume, decoded frames, results."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.data.index import Item
from gesture3d.data.video.prepared.cache import open_cache
from gesture3d.distributed import processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.order import ORDERS
from gesture3d.models import build_model
from gesture3d.studies.report import write_report
from gesture3d.studies.runner import PlannedRun
from gesture3d.studies.runs import gather
from gesture3d.training.loop import Trainer
from gesture3d.training.run_log import RunLog

from .judge import Kind, Outcome, outcome
from .texts import change_a_value, odd_json, write_good_predictions

# --- the file ------------------------------------------------------------------------------------


def odd_header(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """An odd value in the header of a safetensors file or, more often, in the JSON inside it."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    if rng.integers(4):
        description = json.loads(header["__metadata__"]["description"])
        changed = change_a_value(description, rng)
        header["__metadata__"]["description"] = json.dumps(changed)
    else:
        header = change_a_value(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def odd_tensor(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """An odd header; or one of the tensors with another name, kind or shape, or without some of
    its numbers; or odd numbers in it."""
    if rng.integers(3) == 0:
        return odd_header(content, other, rng)
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    name = str(rng.choice([key for key in header if key != "__metadata__"]))
    start, end = header[name]["data_offsets"]
    change = int(rng.integers(5))
    if change == 0:
        header[f"{name}x"] = header.pop(name)
    elif change == 1:
        header[name]["dtype"] = str(rng.choice(["I32", "F16", "BF16", "BOOL", "U8", "I64", "F64"]))
        width = {"I32": 4, "F16": 2, "BF16": 2, "BOOL": 1, "U8": 1, "I64": 8, "F64": 8}
        header[name]["shape"] = [(end - start) // width[header[name]["dtype"]]]
    elif change == 2:
        header[name]["shape"] = [1, (end - start) // 4]
    elif change == 3:
        odd = [np.nan, np.inf, -np.inf, 3e38, -1.0, 0.0, 1e-45]
        number = np.float32(odd[int(rng.integers(len(odd)))]).tobytes()
        data[start : start + 4] = number[: end - start]
    else:
        del header[name]  # leaves a hole, which the format forbids: close it
        del data[start:end]
        for key, tensor in header.items():
            if key != "__metadata__" and tensor["data_offsets"][0] >= end:
                tensor["data_offsets"] = [o - (end - start) for o in tensor["data_offsets"]]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


# --- checkpoints ---------------------------------------------------------------------------------

NETWORKS = {
    "gru": ("gru", "skeleton_folder", ["model.hidden_size=4", "model.num_layers=1"], 9),
    "cnn1d": ("cnn1d", "inertial_folder", ["model.widths=[4]"], 6),
    "video": (
        "variant_a",
        "synthetic",
        ["model.width=0.03125", "data.num_frames=8", "data.size=24"],
        None,
    ),
}


def _make_checkpoints(folder: Path) -> list[Path]:
    for name, (cfg, data, settings, features) in NETWORKS.items():
        experiment = load_experiment(cfg, data, settings)
        torch.manual_seed(0)
        model = build_model(experiment.model, 3, features)
        description = checkpoint.Description(
            experiment.model_dump(mode="json"),
            ["left", "right", "up"],
            {"train": "0" * 16},
            {"epoch": 3, "validation": {"top1": 0.5}},
            num_features=features,
            channel_names=list("abcdef") if name == "cnn1d" else None,
        )
        checkpoint.save(folder / f"{name}.safetensors", model.state_dict(), description)
    return sorted(folder.glob("*.safetensors"))


@torch.inference_mode()
def _read_checkpoint(_: Path, path: Path) -> Outcome:
    from gesture3d.inference.classifier import Classifier

    classifier = Classifier(path, "cpu")  # what `tools/classify.py` begins with
    features = classifier.description.num_features
    shape = (8, 3, 24, 24) if features is None else (64, features)
    kind = torch.uint8 if features is None else torch.float32
    inputs = (torch.arange(int(np.prod(shape))) % 7).reshape(shape).to(kind)
    scores = classifier.scores([inputs])[0]
    classifier._values(path, scores[None])  # refuses what is not finite
    scores = scores.numpy()
    d = classifier.description
    return outcome((len(d.class_names),), d.class_names, d.experiment, scores)


# --- runs ----------------------------------------------------------------------------------------


def _make_run(folder: Path) -> list[Path]:
    for name in ("left", "right"):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(4):
            walk = np.random.default_rng(number).normal(size=(5, 3, 3))
            np.save(folder / "data" / name / f"{number}.npy", walk)
    trainer = _trainer(folder)
    trainer.run()
    # In the middle: one of the two epochs is done.
    trainer.progress.epoch = 1
    del trainer.progress.history[1:]
    trainer.progress.best_epoch = 0
    trainer.save_last()
    return [folder / "run" / "last.ckpt"]


def _trainer(folder: Path) -> Trainer:
    settings = [f"data.root={folder / 'data'}", "data.test_share=0", "data.validation_share=0.25"]
    settings += ["model.hidden_size=4", "model.num_layers=1", "optim.ema_decay=0.9"]
    settings += ["train.epochs=2", "train.batch_size=3", "train.device=cpu", "train.keep=best"]
    experiment = load_experiment("gru", "skeleton_folder", settings)
    with processes("cpu") as here:
        datasets = build_datasets(experiment.data, 0, progress=False)
        torch.manual_seed(0)
        model = build_model(experiment.model, len(datasets.class_names), datasets.spec.num_features)
        log = RunLog(folder / "run", num_epochs=2, progress=False)
        log.folder.mkdir(exist_ok=True)
        return Trainer(experiment, model, datasets, here, log)


def _read_run(folder: Path, path: Path) -> Outcome:
    """Resumed, and trained to its end."""
    from gesture3d.training.run import resumable

    resumable(folder / "run")  # what `tools/train.py --resume` begins with
    trainer = _trainer(folder)
    trainer.resume(path)
    content = path.read_bytes()
    try:
        progress = trainer.run()
    except Gesture3dError as error:  # a loss that is not finite: in one line, if of the run
        raise Gesture3dError(f"{path}: {error}") from None
    finally:
        path.write_bytes(content)
    weights = torch.cat([p.detach().ravel() for p in trainer.model.state_dict().values()]).numpy()
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in progress.history]
    return outcome((len(rows), 1 + progress.best_epoch), rows, weights)


def _make_finished(folder: Path) -> list[Path]:
    """The files of a finished run that studies read."""
    result = {
        "epochs": 3,
        "kept_epoch": 2,
        "order_top1": dict.fromkeys(ORDERS, 0.15),
        "num_samples": {"train": 8, "validation": 20},
        "cost": [["stem", 10, 100], ["total", 10, 100]],
        "train_seconds": 1.5,
        "train_clips_per_second": 10.0,
        "inference_clips_per_second": 20.0,
        "peak_memory": 1000,
        "peak_gpu_memory": None,
        "device": "cpu",
        "num_processes": 1,
        "num_threads": 1,
        "versions": checkpoint.versions(),
    }
    row = {"learning_rate": 0.1, "train_loss": 1.0, "train_top1": 0.5, "train_top5": 1.0}
    row |= {
        "clips_per_second": 10.0,
        "seconds": 0.5,
        "validation_top1": 0.5,
        "validation_loss": 1.0,
    }
    rows = [json.dumps({"epoch": epoch, **row}) for epoch in range(3)]
    run = folder / "run"
    (run / "evaluation-validation").mkdir(parents=True)
    (run / "result.json").write_text(json.dumps(result, indent=1))
    (run / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    write_good_predictions(run / "evaluation-validation" / "predictions.csv")
    return [run / "result.json", run / "metrics.jsonl"]


def _read_finished(folder: Path, path: Path) -> Outcome:
    """As an ablation takes it; a run that it leaves out with its reason is refused."""
    experiment = load_experiment("gru", "skeleton_folder")
    run = PlannedRun("run", "gru", "skeleton_folder", 0, (), experiment)
    [found] = gather([run], folder, {})
    if found.error:
        raise Gesture3dError(f"{path}: {found.error}" if "/" not in found.error else found.error)
    write_report([found], folder / "study")
    table = (folder / "study" / "ablation.csv").read_text()
    numbers = np.array([float(n) for n in re.findall(r"(?i)(?<![a-z])(?:nan|inf)(?![a-z])", table)])
    items = found.result["num_samples"] if path.name == "result.json" else found.history
    return outcome((len(items),), found.result, found.history, numbers)


# --- decoded frames ------------------------------------------------------------------------------


def _clips(folder: Path) -> list[Item]:
    return [Item(name, 0, folder / name) for name in ("a", "b")]


def _make_cache(folder: Path) -> list[Path]:
    import cv2

    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(3):
            frame = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            (folder / name / f"{number}.png").write_bytes(cv2.imencode(".png", frame)[1].tobytes())
    open_cache(_clips(folder), folder / "cache", 8, progress=False)
    return sorted((folder / "cache").glob("frames*"))


def _read_cache(folder: Path, _: Path) -> Outcome:
    """Used or, where it is damaged, decoded again."""
    kept = {path: path.read_bytes() for path in (folder / "cache").glob("frames*")}
    try:
        cache = open_cache(_clips(folder), folder / "cache", 8, progress=False)
        frames = [np.array(cache[key]) for key in ("a", "b")]
    finally:
        for path in (folder / "cache").glob("frames*"):
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
    return outcome((sum(map(len, frames)),), *frames)


def kinds() -> list[Kind]:
    def kind(name: str, make: Callable, read: Callable, odd: Callable | None = None) -> Kind:
        return Kind(name, make, read, odd=odd)

    return [
        kind("checkpoint", _make_checkpoints, _read_checkpoint, odd_tensor),
        kind("checkpoint's description", _make_checkpoints, _read_checkpoint, odd_header),
        kind("last.ckpt", _make_run, _read_run, odd_tensor),
        kind("last.ckpt's description", _make_run, _read_run, odd_header),
        kind("finished run", _make_finished, _read_finished, odd_json),
        kind("cache", _make_cache, _read_cache),
    ]
