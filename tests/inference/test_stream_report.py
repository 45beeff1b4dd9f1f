"""Anyone's streams of joints and of sensors: trained on, evaluated, classified by the tools."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gesture3d import checkpoint
from gesture3d.cli import ablate, classify, evaluate
from gesture3d.config import load_data, load_experiment
from gesture3d.data import read_index
from gesture3d.data.skeleton.splice import splice_stream
from gesture3d.errors import Gesture3dError
from gesture3d.events import NO_GESTURE, Event, read_annotations, write_events
from gesture3d.rng import generator
from gesture3d.training.run import train

SETTINGS = {
    "model.hidden_size": 24,
    "model.num_layers": 1,
    "model.dropout": 0,
    "optim.lr": 0.02,
    "train.epochs": 30,
    "train.eval_every": 30,
    "train.batch_size": 6,
    "train.num_threads": 1,
    "data.window": 120,
    "data.pre_roll": 10,
    "data.augmentation": "{}",
}


def wheel(angles: np.ndarray) -> np.ndarray:
    """Joints (T, 3, 3): a palm at rest, and two that turn about it."""
    x, y, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    return np.stack([np.stack(p, 1) for p in ((zero, zero, zero), (x, y, zero), (-y, x, zero))], 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("streams")
    turns = {"left": np.linspace(0, 4, 40), "right": np.linspace(0, -4, 40)}
    clips = {name: [wheel(angles)] for name, angles in turns.items()}
    for split, count in (("train", 6), ("validation", 3)):
        streams = {}
        for number in range(count):
            joints, events = splice_stream(clips, 15, 20, 1.0, generator(split, number))
            np.save(root / f"{split}{number}.npy", joints)
            streams[f"{split}{number}.npy"] = events
        write_events(root / f"{split}.csv", streams)
    return root


@pytest.fixture(scope="module")
def weights(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    experiment = load_experiment("gru", "skeleton_stream_folder", [f"data.root={root}", *settings])
    train(experiment, folder, progress=False)
    return folder / "best.safetensors"


def run(tool, monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", [tool.__name__, *map(str, arguments)])
    return tool.main()


def test_an_evaluation_measures_events_and_draws_them(
    root, weights, tmp_path, monkeypatch, capsys
) -> None:
    command = ("--weights", weights, "--split", "validation", "--out", tmp_path)
    assert run(evaluate, monkeypatch, *command) == 0
    said = capsys.readouterr().out
    assert "3 streams of" in said
    values = json.loads((tmp_path / "metrics.json").read_text())
    measures = values["measures"]
    assert {"SFINGE detection rate", "F1@0.5", "repeats caught"} <= measures.keys()
    truth = read_annotations(root / "validation.csv")
    assert values["num_events"] == sum(map(len, truth.values()))
    assert measures["SFINGE detection rate"] > 0.4  # two turns, one way or the other
    found = read_annotations(tmp_path / "events.csv", may_overlap=True)
    assert found.keys() == truth.keys()
    assert (tmp_path / "timeline.png").stat().st_size > 5000
    assert "![truth above" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "thresholds.png").stat().st_size > 5000
    with (tmp_path / "thresholds.csv").open() as text:
        rows = {float(row["threshold"]): row for row in csv.DictReader(text)}
    assert len(rows) == 22
    level = next(iter(checkpoint.load(weights)[1].online.thresholds.values()))
    same = {name: float(rows[level][name]) for name, value in measures.items() if value is not None}
    assert same == {name: value for name, value in measures.items() if value is not None}
    assert float(rows[0.998]["SFINGE detection rate"]) < same["SFINGE detection rate"]


def test_a_decision_can_be_chosen_anew(weights, tmp_path, monkeypatch, capsys) -> None:
    other, out = tmp_path / "other.safetensors", tmp_path / "out"
    command = ("--weights", weights, "--measure", "sfinge", "--calibrate", other, "--out", out)
    assert run(evaluate, monkeypatch, *command) == 0
    assert "chosen by sfinge" in capsys.readouterr().out
    before, after = (checkpoint.load(path)[1].online for path in (weights, other))
    assert (before.measure, after.measure) == ("shrec22", "sfinge")
    assert json.loads((out / "metrics.json").read_text())["split"] == "validation"


def test_a_long_file_becomes_a_table_of_events(root, weights, tmp_path, monkeypatch) -> None:
    """As the evaluation finds them."""
    run(evaluate, monkeypatch, "--weights", weights, "--split", "validation", "--out", tmp_path)
    found = read_annotations(tmp_path / "events.csv", may_overlap=True)["validation0.npy"]
    out = tmp_path / "out.json"
    command = (root / "validation0.npy", "--weights", weights, "--out", out)
    assert run(classify, monkeypatch, *command) == 0
    rows = [row for row in json.loads(out.read_text()) if row["classes"]]
    assert len(rows) == len(found) > 0
    for row, event in zip(rows, found, strict=True):
        assert row["classes"][0]["name"] == event.label
        assert (row["start"], row["stop"]) == pytest.approx((event.start, event.end))


def test_an_ablation_compares_networks_by_the_events_that_they_find(
    root, tmp_path, monkeypatch, capsys, forked_runs
) -> None:
    data = shutil.copytree(root, tmp_path / "data")
    for path in data.glob("validation*"):  # the test's streams are those of validation
        shutil.copy(path, data / path.name.replace("validation", "test"))
    listed = (data / "validation.csv").read_text()
    (data / "test.csv").write_text(listed.replace("validation", "test"))
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    settings += [f"data.root={data}", "train.epochs=5", "train.eval_every=5"]
    out, table = tmp_path / "out", tmp_path / "results.csv"
    command = ("--networks", "gru", "--data", "skeleton_stream_folder", "--seeds", 0, 1)
    command += ("--out", out, "--record", table, "--set", *settings)
    assert run(ablate, monkeypatch, *command) == 0, capsys.readouterr()
    runs = [out / f"gru-skeleton_stream_folder-seed{seed}" for seed in (0, 1)]
    stored = [json.loads((folder / "result.json").read_text())["events"] for folder in runs]
    rates = [events["SHREC'22 detection rate"] for events in stored]
    text = (out / "ablation.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| SHREC'22 detection"))
    assert f"{sum(rates) / 2:.3f} ± " in row
    assert f"({rates[0]:.3f}, {rates[1]:.3f})" in row
    with table.open(newline="") as file:
        (recorded,) = csv.DictReader(file)
    assert recorded["samples"] == "3 streams"
    assert f"SHREC'22: detected {sum(rates) / 2:.3f}, false " in recorded["events"]
    again = ("--weights", runs[0] / "best.safetensors", "--record", table, "--out", tmp_path / "e")
    assert run(evaluate, monkeypatch, *again) == 0
    with table.open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert f"SHREC'22: detected {rates[0]:.3f}, false " in last["events"]
    (runs[1] / "evaluation-test" / "metrics.json").write_text('{"measures": {"F1@0.5": "all"}}')
    assert run(ablate, monkeypatch, *command) == 1
    assert "metrics.json: broken" in capsys.readouterr().err


def test_what_evaluations_of_streams_do_not_have_is_refused(weights, monkeypatch) -> None:
    with pytest.raises(Gesture3dError, match="no --corruptions"):
        run(evaluate, monkeypatch, "--weights", weights, "--split", "validation", "--corruptions")


def test_recordings_with_one_csv(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        values = rng.normal(size=(200, 3))
        np.savetxt(tmp_path / f"{name}.csv", values, delimiter=",", header="x,y,z", comments="")
    lists = {"a.csv": [Event("wave", 1.0, 2.0)], "b.csv": []}
    write_events(tmp_path / "annotations.csv", lists)
    settings = [f"data.root={tmp_path}", "data.validation_share=0.5"]
    index = read_index(load_data("inertial_stream_folder", settings), progress=False)
    assert index.class_names == ("wave", NO_GESTURE)
    assert sorted(item.content.shape for item in index.items) == [(200, 3), (200, 3)]
    assert {item.key: item.events for item in index.items} == {
        "a.csv": (Event("wave", 1.0, 2.0),),
        "b.csv": (),
    }


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (
            {"a.npy": [Event("wave", 1.0, 9.0)]},
            r"a.npy: wave from 1 to 9 s; the stream ends at 5 s",
        ),
        ({"c.npy": []}, r"annotations.csv: c.npy: no such file there"),
    ],
)
def test_annotations_that_do_not_fit_are_one_line(tmp_path, events, said) -> None:
    np.save(tmp_path / "a.npy", np.zeros((100, 4, 3)))
    write_events(tmp_path / "annotations.csv", events)
    with pytest.raises(Gesture3dError, match=said):
        read_index(load_data("skeleton_stream_folder", [f"data.root={tmp_path}"]), progress=False)
