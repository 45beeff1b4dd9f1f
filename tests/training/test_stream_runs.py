"""A run on streams: trained on windows, validated on whole streams, its decision kept."""

import itertools
import json

import cv2
import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.data.streams import frame_labels
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.events import NO_GESTURE, Event, read_annotations, write_events
from gesture3d.rng import generator
from gesture3d.training.run import train

MODEL = {
    "model.width": 0.0625,
    "model.stem_stride": "[2, 3, 3]",
    "optim.lr": 2e-2,
    "optim.label_smoothing": 0,
    "optim.ema_decay": "null",
    "data.num_frames": 48,
    "data.pre_roll": 8,
    "data.size": 24,
    "data.cache_size": 24,
    "data.augmentation": "{}",
    "train.epochs": 12,
    "train.eval_every": 12,
    "train.batch_size": 8,
    "train.eval_batch_size": 3,
    "train.precision": "fp32",
    "train.processes": 1,
    "train.num_threads": 1,
}


def write_stream(path, seed: int) -> list[Event]:
    """Ten seconds; a bright square moves to the left or right now and then, and else rests."""
    rng = generator("stream", seed)
    place, frames, events = 24.0, [], []
    while len(frames) < 108:
        frames += [place] * int(rng.integers(8, 20))
        way = int(rng.integers(2))
        begin, steps = len(frames), 12
        frames += np.linspace(16 + 16 * (1 - way), 16 + 16 * way, steps).tolist()
        place = frames[-1]
        events.append(Event(("left", "right")[way], begin / 12, (begin + steps) / 12))
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (48, 48))
    for x in frames:
        picture = rng.integers(50, 70, (48, 48, 3)).astype(np.uint8)
        cv2.rectangle(picture, (int(x) - 6, 18), (int(x) + 6, 30), (220, 220, 220), -1)
        writer.write(picture)
    writer.release()
    return events


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("streams")
    numbers = itertools.count()
    for split, count in (("train", 16), ("validation", 3)):
        names = [f"videos/{next(numbers)}.mp4" for _ in range(count)]
        events = {name: write_stream(root / name, n) for n, name in enumerate(names)}
        write_events(root / f"{split}.csv", events)
    return root


@pytest.fixture(scope="module")
def folder(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = [f"{key}={value}" for key, value in MODEL.items()]
    experiment = load_experiment("variant_a", "stream_folder", [f"data.root={root}", *settings])
    train(experiment, folder, progress=False)
    return folder


def test_steps_are_learnt_and_measured_one_by_one(root, folder):
    truth = read_annotations(root / "validation.csv")
    found = read_predictions(folder / "evaluation-validation/predictions.csv")
    assert found.class_names == ("left", "right", NO_GESTURE)
    for name, events in truth.items():
        rows = [row for row, key in enumerate(found.keys) if key.startswith(f"{name}@")]
        frames = int(cv2.VideoCapture(str(root / name)).get(cv2.CAP_PROP_FRAME_COUNT))
        assert len(rows) == frames // 4
        newest = np.arange(3, frames, 4) / 12
        labels = frame_labels(events, newest, found.class_names)
        assert (found.labels[rows] == labels[: len(rows)]).all()


def test_the_loss_falls(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    assert losses[-1] < losses[0] - 0.05


def test_the_decision_chosen_on_validation_is_kept_with_the_weights(folder):
    model, description = checkpoint.load_model(folder / "best.safetensors")
    assert model.causal
    assert set(description.online.thresholds) == {"left", "right"}
    assert description.online.data == "stream_folder_rgb, validation"
    assert description.calibration is None
    assert json.loads((folder / "result.json").read_text())


def test_stepping_gives_what_training_validated(root, folder):
    """Through the first stream, four frames at a time."""
    from gesture3d.data import build_datasets

    model, description = checkpoint.load_model(folder / "best.safetensors")
    data = description.validated_experiment("").data
    sample = build_datasets(data, 0, progress=False).validation[0]
    found = read_predictions(folder / "evaluation-validation/predictions.csv")
    rows = [row for row, key in enumerate(found.keys) if key.startswith(f"{sample.key}@")]
    state = model.initial_state(1, (data.size, data.size))
    with torch.inference_mode():
        for step, row in enumerate(rows):
            scores, state = model.step(sample.inputs[None, 4 * step : 4 * step + 4], state)
            np.testing.assert_allclose(scores[0].numpy(), found.scores[row], atol=2e-4)


def test_networks_that_see_the_future_are_refused(root):
    with pytest.raises(Gesture3dError, match=r"only a causal network.*model.causal=true"):
        load_experiment(
            "variant_a",
            "stream_folder",
            ["model.causal=false", "model.preprocessing=clip_mean", "model.differences=false"],
        )
    with pytest.raises(Gesture3dError):
        load_experiment("r3d_18", "stream_folder", [])
    with pytest.raises(Gesture3dError, match="class_weights"):
        load_experiment("variant_a", "stream_folder", ["optim.class_weights=balanced"])
