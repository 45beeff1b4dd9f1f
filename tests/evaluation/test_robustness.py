"""A checkpoint on corrupted clips: which clips the network is given, what is written."""

import csv
import json

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.cli.evaluate import main, parse_args
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.data.index import Index, Item
from gesture3d.data.video.clips import ReadClip, clip_from_frames
from gesture3d.data.video.corruptions import CORRUPTIONS, STRENGTHS
from gesture3d.data.video.reading import read_frames
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.corruptions import measure_corruptions, table
from gesture3d.evaluation.evaluate import evaluate_checkpoint, evaluated_experiment
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model
from gesture3d.rng import generator
from gesture3d.studies.zoo import read_rows
from gesture3d.viz.plots import plot_strips
from tests.clips import square_clip, square_folder, tiny_settings, write_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return square_folder(tmp_path_factory.mktemp("squares"), clips_per_class=5)


@pytest.fixture(scope="module")
def weights(folder, tmp_path_factory):
    """An untrained network; its test split has 8 clips, 2 a class."""
    settings = [*tiny_settings(folder), "data.test_share=0.4", "train.eval_batch_size=5"]
    experiment = load_experiment("variant_a", "folder", settings)
    datasets = build_datasets(experiment.data, 0, progress=False)
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), list(datasets.class_names), datasets.fingerprint
    )
    checkpoint.save(path, model.state_dict(), description)
    return path


@pytest.fixture(scope="module")
def measured(weights):
    names = ["gamma", "frame_rate"]
    return measure_corruptions(weights, names=names, progress=False)


def test_top1_is_that_of_the_corrupted_frames(folder, weights, measured) -> None:
    """By hand: decode, corrupt by the address, choose frames, classify."""
    clean, _ = evaluate_checkpoint(weights, progress=False)
    assert measured.predictions.keys == clean.keys
    assert np.array_equal(measured.predictions.scores, clean.scores)
    assert measured.clean == clean.correct.mean()
    data = evaluated_experiment(weights).data
    classifier = Classifier(weights, "cpu")
    assert list(measured.top1) == ["gamma", "frame_rate"]
    for name, values in measured.top1.items():
        for strength, value in zip(STRENGTHS, values, strict=True):
            inputs = []
            for key in clean.keys:
                frames = read_frames(folder / key, short_side=data.cache_size)
                rng = generator(0, name, str(strength), key)
                inputs.append(clip_from_frames(CORRUPTIONS[name](frames, strength, rng), data))
            classes = classifier.scores(inputs).numpy().argmax(axis=1)
            assert value == pytest.approx((classes == clean.labels).mean())
    assert measured.means["gamma"] == pytest.approx(np.mean(measured.top1["gamma"]))
    assert measured.mean == pytest.approx(np.mean(list(measured.means.values())))


def test_processes_that_load_change_nothing(weights, measured) -> None:
    found = measure_corruptions(
        weights, "test", ["data.num_workers=2"], names=["gamma"], progress=False
    )
    assert found.top1["gamma"] == measured.top1["gamma"]


@pytest.mark.parametrize(
    "settings", [[], ["data.channels=1", "model.in_channels=1"], ["data.eval_crops=3"]], ids=str
)
@pytest.mark.parametrize("cached", [True, False])
def test_frames_that_stay_as_they_are_change_nothing(tmp_path, settings, cached) -> None:
    frames = np.pad(square_clip("left", 0), [(0, 0), (0, 0), (8, 8), (0, 0)])
    clip = Item("a", 0, write_clip(tmp_path / "a.mp4", frames), split="test")
    wanted = [f"data.root={tmp_path}", "data.num_frames=8", "data.size=24", *settings]
    data = load_experiment("variant_a", "folder", [*wanted, "data.cache_size=28"]).data
    decoded = read_frames(clip.path, short_side=28, pixels=data.pixels)
    read = ReadClip(data, Index(("left",), [clip]), {"a": decoded} if cached else None)
    seen = []
    same = read.changed(lambda key, frames: seen.append((key, frames.shape)) or frames)
    torch.testing.assert_close(same(clip, None).inputs, read(clip, None).inputs, atol=1, rtol=0)
    assert seen == [("a", decoded.shape)]
    other = read.changed(lambda _, frames: 255 - frames[::2])
    assert not torch.equal(other(clip, None).inputs, read(clip, None).inputs)


def test_some_samples_are_spread_over_the_split(weights) -> None:
    found = measure_corruptions(weights, names=["cut"], limit=4, progress=False)
    assert sorted(found.predictions.labels) == [0, 1, 2, 3]
    assert found.clean == found.predictions.correct.mean()


def test_what_is_written_and_recorded_is_what_was_measured(
    weights, measured, tmp_path, monkeypatch, capsys
) -> None:
    out, results = tmp_path / "out", tmp_path / "results.csv"
    command = ["--weights", weights, "--out", out, "--record", results]
    command += ["--corruptions", "gamma", "frame_rate"]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, command)])
    assert main() == 0
    assert table(measured) in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == [
        f"corruptions.{x}" for x in ("csv", "json", "png")
    ]
    with (out / "corruptions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["corruption"] for row in rows] == ["clean", *["gamma"] * 5, *["frame_rate"] * 5]
    assert [float(row["top1"]) for row in rows[1:6]] == measured.top1["gamma"]
    values = json.loads((out / "corruptions.json").read_text())
    assert (values["clean"], values["mean"]) == (measured.clean, measured.mean)
    assert values["corruptions"]["frame_rate"]["top1"] == measured.top1["frame_rate"]
    row = read_rows(results)[-1][1]
    assert row["top1"] == f"{100 * measured.mean:.1f}"
    assert row["settings"].endswith("corruptions=gamma,frame_rate")
    assert row["interval"] == ""


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_picture_shows_any_modality(channels) -> None:
    clips = [np.full((n, 30, 40, channels), 90, np.uint8) for n in (12, 3)]
    figure = plot_strips({"clean": clips, "cut": clips}, ["weak", "strong"], num_frames=4)
    pictures = [axes.images[0].get_array() for axes in figure.axes]
    assert [p.shape[:2] for p in pictures] == [(30, 160)] * 4
    assert [axes.get_title() for axes in figure.axes] == ["weak", "strong", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes] == ["clean", "", "cut", ""]


def test_what_cannot_be_measured_is_refused(weights, tmp_path) -> None:
    with pytest.raises(Gesture3dError, match=r"'flickr' is not known for rgb. Did you mean 'flick"):
        measure_corruptions(weights, names=["flickr"], progress=False)
    experiment = load_experiment("gru", "skeleton_folder", [f"data.root={tmp_path}"])
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), ["a", "b"], {}, num_features=3
    )
    path = tmp_path / "gru.safetensors"
    model = build_model(experiment.model, 2, 3)
    checkpoint.save(path, model.state_dict(), description)
    with pytest.raises(Gesture3dError, match=r"what cameras do to clips; .* is skeleton data"):
        measure_corruptions(path, progress=False)


@pytest.mark.parametrize(
    "options", [["--limit", "5"], ["--limit", "5", "--corruptions", "--record", "x.csv"]]
)
def test_a_limit_is_for_corruptions_that_are_not_recorded(options, capsys) -> None:
    with pytest.raises(SystemExit):
        parse_args(["--weights", "w", *options])
    assert "--limit: only with --corruptions" in capsys.readouterr().err
