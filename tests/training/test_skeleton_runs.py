"""Whole runs on small skeleton folders: train, test, cross-validate, classify, refuse."""

import csv
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment, with_overrides
from gesture3d.data import build_datasets
from gesture3d.data.batch import collate
from gesture3d.data.walk import find_files
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import evaluate_checkpoint
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.files import PACKAGE
from gesture3d.inference.classifier import Classifier
from gesture3d.models.sequence import mean_and_std
from gesture3d.rng import generator
from gesture3d.studies.folds import plan_folds, summary
from gesture3d.training.run import train
from tests.clips import square_folder
from tests.forked_runs import run_forked

DIRECTIONS = {"left": (-1, 0, 0), "right": (1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0)}


def moves(root: Path, each: int = 12) -> Path:
    """Three joints that move one way: files of 6 to 17 frames, and a list with three people."""
    rows = ["path,label,group"]
    for name, way in DIRECTIONS.items():
        (root / name).mkdir(parents=True)
        for number in range(each):
            rng = generator("move", name, number)
            time = np.linspace(0, 1, 6 + number)[:, None, None]
            noise = rng.normal(0, 0.1, (6 + number, 3, 3))
            np.save(
                root / name / f"{number}.npy", time * np.array(way) + rng.normal(size=3) + noise
            )
            rows.append(f"{name}/{number}.npy,{name},p{number % 3}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    return root


def settings(root: Path, *more: str) -> list[str]:
    return [
        f"data.root={root}",
        "data.csv=list.csv",
        "data.folds=leave_one_group_out",
        "model.dims={gru1: 16, gru2: 12, gru3: 8, fc: 8}",
        "model.dropout=0.1",
        "optim.lr=1e-2",
        "train.epochs=12",
        "train.batch_size=8",
        "train.num_threads=1",
        "train.device=cpu",
        *more,
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return moves(tmp_path_factory.mktemp("moves"))


@pytest.fixture(scope="module")
def weights(folder, tmp_path_factory) -> Path:
    """A network trained on people p1 and p2, with p0 held out for the test."""
    experiment = load_experiment("deepgru_small", "skeleton_folder", settings(folder))
    return train(experiment, tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_it_learns_and_is_tested_from_its_file_alone(folder, weights) -> None:
    predictions, metrics = evaluate_checkpoint(weights, "test", progress=False)
    assert len(predictions.keys) == 16
    assert metrics.top1 > 0.8
    _, description = checkpoint.load_model(weights)
    assert description.num_features == 18  # three joints and their differences
    assert "no validation split" in (weights.parent / "report.md").read_text()
    with pytest.raises(Gesture3dError, match="has no validation split"):
        evaluate_checkpoint(weights, "validation", progress=False)
    with pytest.raises(Gesture3dError, match="not the one of its training"):
        evaluate_checkpoint(weights, "test", ["data.fold=2"], progress=False)


def test_classification_gives_the_scores_of_evaluation(folder, weights) -> None:
    """Also in one batch of different lengths, and whatever the file's format."""
    classifier = Classifier(weights)
    predictions, _ = evaluate_checkpoint(weights, "test", progress=False)
    paths = [folder / key for key in predictions.keys]
    together = classifier.scores([classifier.load(path) for path in paths])
    torch.testing.assert_close(together, torch.from_numpy(predictions.scores), atol=1e-5, rtol=0)
    alone = classifier.scores([classifier.load(paths[3])])[0]
    torch.testing.assert_close(alone, together[3], atol=1e-5, rtol=0)
    assert classifier(paths[3])[0].name == classifier.class_names[int(together[3].argmax())]


def test_the_command_line_classifies_files_of_joints(folder, weights, tmp_path) -> None:
    for name in ("left", "up"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in (0, 3):
            values = np.load(folder / name / f"{number}.npy")
            target = tmp_path / "in" / name / f"{number}.csv"
            np.savetxt(target, values.reshape(-1, 9), delimiter=",")
    (tmp_path / "in" / "notes.txt").write_text("not joints")
    (tmp_path / "in" / "broken.csv").write_text("1,2,3,4,5,6,7,8,9\n1,2,nan,4,5,6,7,8,9\n")
    np.save(tmp_path / "in" / "two_joints.npy", np.zeros((4, 2, 3)))
    out = tmp_path / "out.csv"
    tool = PACKAGE / "cli" / "classify.py"
    done = run_forked([sys.executable, tool, tmp_path / "in", "--weights", weights, "--out", out])
    assert done.returncode == 1
    assert "broken.csv: frame 1: joint 0 has the coordinate nan" in done.stderr
    assert "two_joints.npy: 12 features a frame" in done.stderr
    assert "Traceback" not in done.stderr
    rows = list(csv.DictReader(out.open()))
    good = [row for row in rows if not row["error"]]
    assert (len(rows), len(good)) == (6, 4)  # notes.txt is none of ours
    assert all(row["class_1"] in DIRECTIONS for row in good)
    with pytest.raises(Gesture3dError, match=r"nothing to read: neither files \(\.npy"):
        find_files(tmp_path / "in" / "left", (".npy",))


def test_cross_validation_tests_every_fold_once_and_continues(
    folder, tmp_path, monkeypatch, capsys, forked_runs
) -> None:
    tool = str(PACKAGE / "cli" / "train.py")
    main = runpy.run_path(tool, run_name="train")["main"]

    def cross_validate(
        *more: str, seeds: tuple[str, ...] = ("0", "1"), init: Path | None = None
    ) -> int:
        arguments = ["--cfg", "deepgru_small", "--data", "skeleton_folder", "--name", "cv"]
        arguments += ["--runs", str(tmp_path), "--folds", "leave_one_group_out", "--seeds", *seeds]
        arguments += ["--init", str(init)] if init else []
        changes = settings(folder, "train.epochs=2", *more)
        monkeypatch.setattr(sys, "argv", [tool, *arguments, "--set", *changes])
        return main()

    assert cross_validate() == 0, "".join(p.read_text() for p in tmp_path.glob("cv/logs/*"))
    printed = capsys.readouterr().out
    results = sorted((tmp_path / "cv").glob("*/evaluation-test/metrics.json"))
    assert len(results) == 6
    keys = [read_predictions(path.with_name("predictions.csv")).keys for path in results[::2]]
    assert sorted(key for fold in keys for key in fold) == sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*.npy")
    )
    top1 = np.array([json.loads(path.read_text())["top1"] for path in results])
    expected = summary(top1.reshape(3, 2).T)
    assert expected in printed
    report = (tmp_path / "cv" / "report.md").read_text()
    assert expected in report
    assert "| 1 | " + " | ".join(f"{100 * v:.1f}" for v in top1[1::2]) in report
    before = [path.stat().st_mtime_ns for path in results]
    shutil.rmtree(results[4].parents[1])
    assert cross_validate() == 0
    assert "5 of 6 runs are finished already" in capsys.readouterr().out
    after = [path.stat().st_mtime_ns for path in results]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True] * 4 + [False, True]
    assert json.loads(results[4].read_text())["top1"] == pytest.approx(top1[4])  # same seed
    with pytest.raises(Gesture3dError, match=r"optim.lr: 0.01 there, 0.02 here.*another --name"):
        cross_validate("optim.lr=2e-2")
    with pytest.raises(Gesture3dError, match="--seeds: given twice: 0"):
        cross_validate(seeds=("0", "0"))
    started = tmp_path / "cv" / "fold-1-seed-0" / "best.safetensors"
    rate = "optim.lr=1e-12"  # what they started from
    assert cross_validate(rate, "optim.weight_decay=0", seeds=("0",), init=started) == 0
    for name in ("fold-1", "fold-3"):
        tuned = tmp_path / "cv" / f"{name}-seed-0-from-best" / "best.safetensors"
        before, after = (checkpoint.load_model(path)[0] for path in (started, tuned))
        for one, other in zip(before.parameters(), after.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    assert f"All began with {started}." in (tmp_path / "cv" / "report.md").read_text()
    shutil.rmtree(results[0].parents[1])
    monkeypatch.setattr("gesture3d.training.run.train", None)
    assert cross_validate() == 1
    assert "error: fold-1-seed-0: " in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Gesture3dError, match="without torchrun"):
        cross_validate()


def test_a_set_without_groups_has_no_folds(tmp_path) -> None:
    root = square_folder(tmp_path, clips_per_class=2, classes=2)
    with pytest.raises(Gesture3dError, match=r"^data\.folds=k_fold: .* belongs to no group"):
        plan_folds("variant_a", "folder", "2", [0], [f"data.root={root}"])


def test_without_a_choice_the_folds_are_those_of_the_recipe(folder) -> None:
    def planned(folds: str, *more: str) -> list[str]:
        chosen = settings(folder, *more)
        return [r.name for r in plan_folds("deepgru_small", "skeleton_folder", folds, [0], chosen)]

    assert planned("") == planned("leave_one_group_out") == [f"fold-{n}-seed-0" for n in (1, 2, 3)]
    with pytest.raises(Gesture3dError, match="neither folds nor a test split are given"):
        planned("official", "data.test_share=0")
    assert planned("official", "data.test_groups=[p1]") == ["fold-1-seed-0"]


def test_the_summary_has_the_spreads_of_seeds_and_folds() -> None:
    top1 = np.array([[0.9, 0.8], [0.7, 0.6]])
    # Means over folds 85 and 65: deviation 14.1; means over seeds 80 and 70: deviation 7.1.
    assert summary(top1) == "75.0 % ± 14.1 over 2 seeds ± 7.1 over 2 folds"
    assert summary(top1[:1, :1]) == "90.0 %"


def test_the_best_epoch_is_chosen_on_held_out_groups(folder, tmp_path) -> None:
    chosen = settings(folder, "train.keep=best", "train.epochs=3", "data.validation_groups=[p2]")
    experiment = load_experiment("gru", "skeleton_folder", [s for s in chosen if "dims" not in s])
    datasets = build_datasets(experiment.data, 0)
    assert [len(d) for d in (datasets.train, datasets.validation, datasets.test)] == [16, 16, 16]
    path = train(experiment, tmp_path / "run", progress=False)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    _, description = checkpoint.load_model(path)
    best = max(row["validation_top1"] for row in rows)
    assert description.metrics["validation"]["top1"] == pytest.approx(best)
    again = with_overrides(experiment, ["data.validation_groups=[]"])
    with pytest.raises(Gesture3dError, match=r"no validation split .* data\.validation_groups"):
        train(again, tmp_path / "other", progress=False)
    assert not (tmp_path / "other").exists()


def test_the_z_scores_travel_with_the_weights(folder, weights) -> None:
    model, description = checkpoint.load_model(weights)
    experiment = description.validated_experiment(weights)
    datasets = build_datasets(experiment.data, 0)
    torch.testing.assert_close(model.mean, mean_and_std(datasets.train.inputs)[0].float())
    batch = collate([datasets.test[i] for i in range(4)])
    with torch.no_grad():
        before = model(batch.inputs, batch.lengths)
        model.mean += 1
        assert not torch.allclose(model(batch.inputs, batch.lengths), before)
