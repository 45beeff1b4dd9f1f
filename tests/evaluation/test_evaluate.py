"""Evaluation of a checkpoint: what it writes, on which data, in how many processes."""

import csv
import json
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.cli import evaluate
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import changed_inputs, evaluate_checkpoint, evaluated_experiment
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.evaluation.report import evaluation_folder, write_evaluation
from gesture3d.files import PACKAGE
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model
from gesture3d.training.run import resumable
from tests.clips import square_folder, tiny_settings
from tests.forked_runs import Forked

TOOL = PACKAGE / "cli" / "evaluate.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return square_folder(tmp_path_factory.mktemp("squares"), clips_per_class=7)


@pytest.fixture(scope="module")
def weights(folder, tmp_path_factory) -> Path:
    """An untrained network in a run's folder; its test split has 12 clips, 3 a class."""
    settings = [*tiny_settings(folder), "data.test_share=0.43", "train.eval_batch_size=5"]
    experiment = load_experiment("variant_a", "folder", settings)
    datasets = build_datasets(experiment.data, 0, progress=False)
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    run = tmp_path_factory.mktemp("runs") / "run"
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), list(datasets.class_names), datasets.fingerprint
    )
    checkpoint.save(run / "best.safetensors", model.state_dict(), description)
    (run / "experiment.yaml").write_text("")
    return run / "best.safetensors"


@pytest.fixture(scope="module")
def evaluated(weights):
    return evaluate_checkpoint(weights, "test", progress=False)


def test_predictions_are_the_scores_of_classification(folder, weights, evaluated) -> None:
    predictions, metrics = evaluated
    assert (predictions.data, predictions.split) == ("folder_rgb", "test")
    assert predictions.class_names == ("down", "left", "right", "up")
    names = [predictions.class_names[label] for label in predictions.labels]
    assert names == [key.split("/")[0] for key in predictions.keys]
    classifier = Classifier(weights, "cpu")
    inputs = [classifier.load(folder / key) for key in predictions.keys]
    torch.testing.assert_close(
        classifier.scores(inputs), torch.from_numpy(predictions.scores), atol=1e-5, rtol=0
    )
    assert metrics.samples.tolist() == [3] * 4


def test_the_files_agree_with_each_other(weights, evaluated, tmp_path) -> None:
    predictions, metrics = evaluated
    path = write_evaluation(
        tmp_path / "e", weights, evaluated_experiment(weights), predictions, metrics
    )
    found = read_predictions(path)
    assert found.keys == predictions.keys
    assert np.array_equal(found.scores, predictions.scores)
    values = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert values["top1"] == pytest.approx(found.correct.mean())
    assert values["top1_interval"][0] <= values["top1"] <= values["top1_interval"][1]
    correct = sum(row["correct"] for row in values["classes"].values())
    assert correct == found.correct.sum()
    header, *rows = csv.reader((tmp_path / "e" / "confusion.csv").open(newline=""))
    assert header[1:] == [row[0] for row in rows] == list(found.class_names)
    assert np.array_equal(np.array([r[1:] for r in rows], int), metrics.confusion_matrix)
    assert (tmp_path / "e" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    report = (tmp_path / "e" / "report.md").read_text()
    assert "| class | samples | correct | precision | recall | F1 |" in report
    assert all(f"| {name} | 3 |" in report for name in found.class_names)


def test_names_are_no_markup_in_the_report(weights, evaluated, tmp_path) -> None:
    predictions, metrics = evaluated
    names = ("$\\alpha$ wave", "a|b\nc", "`code` <b>", "挥手\u2028👋" + "x" * 300)
    renamed = replace(predictions, class_names=names)
    write_evaluation(tmp_path, weights, evaluated_experiment(weights), renamed, metrics)
    lines = (tmp_path / "report.md").read_text().split("\n")
    rows = [line for line in lines if line.startswith("| ") and line.count(" | 3 |") == 1]
    assert sorted(row.split(" | ")[0] for row in rows) == [
        "| \\$\\\\alpha\\$ wave",
        "| \\`code\\` \\<b>",
        "| a\\|b\\\\nc",
        "| 挥手\\\\u2028👋" + "x" * 300,
    ]
    header, *rows = csv.reader((tmp_path / "confusion.csv").open(newline=""), strict=True)
    assert tuple(header[1:]) == names == tuple(row[0] for row in rows)


def test_two_processes_give_the_predictions_of_one(weights, evaluated, tmp_path) -> None:
    """12 samples in batches of 5: shares of 5, 5, 1 and 1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [  # as torchrun does
        Forked(
            [sys.executable, TOOL, "--weights", weights],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=tmp_path,
        )
        for rank in range(2)
    ]
    (out, err), (silent, _) = (process.communicate() for process in started)
    assert started[0].returncode == started[1].returncode == 0, err[-2000:]
    assert (out.count("top-1"), silent) == (1, "")
    found = read_predictions(weights.parent / "evaluation-test" / "predictions.csv")
    predictions, metrics = evaluated
    assert found.keys == predictions.keys
    assert np.array_equal(found.labels, predictions.labels)
    np.testing.assert_allclose(found.scores, predictions.scores, atol=1e-5)
    assert f"{100 * metrics.top1:.1f} %" in out


def jester_layout(root: Path, folder: Path, names: tuple[str, ...], keys: list[str]) -> Path:
    """These clips as a set in Jester's layout, all of them in each list, test unlabelled."""
    (root / "20bn-jester-v1").mkdir(parents=True)
    (root / "jester-v1-labels.csv").write_text("\n".join(names))
    for split in ("train", "validation", "test"):
        lines = []
        for key in keys:
            name, number = Path(key).parts
            new = f"{split}{name}{Path(number).stem}"
            shutil.copy(folder / key, root / "20bn-jester-v1" / f"{new}.mp4")
            lines.append(new if split == "test" else f"{new};{name}")
        (root / f"jester-v1-{split}.csv").write_text("\n".join(lines))
    return root


def test_another_data_set_is_seen_as_in_training(folder, weights, evaluated, tmp_path) -> None:
    """The same clips elsewhere give the same scores, whatever size the other recipe asks for."""
    predictions, metrics = evaluated
    root = jester_layout(tmp_path / "j", folder, predictions.class_names, predictions.keys)
    place = [f"data.root={root}", "data.num_workers=0"]
    found, others = evaluate_checkpoint(weights, "validation", place, "jester", progress=False)
    assert (found.data, found.split) == ("jester_rgb", "validation")
    np.testing.assert_allclose(found.scores, predictions.scores, atol=1e-5)
    assert others.top1 == metrics.top1
    larger = evaluated_experiment(weights, [*place, "data.size=32"], "jester")
    assert (larger.data.size, larger.data.num_frames) == (32, 8)


def test_clips_of_some_classes_need_nothing_to_train_on(
    folder, weights, evaluated, tmp_path, monkeypatch, capsys
) -> None:
    """In another order of the classes, too: labels are the network's."""
    predictions = evaluated[0]
    some = [n for n, key in enumerate(predictions.keys) if key.startswith(("up", "left"))]
    rows = [f"{folder / predictions.keys[n]},{predictions.keys[n].split('/')[0]}" for n in some]
    listed = tmp_path / "list.csv"
    place = [f"data.root={tmp_path}", f"data.csv={listed}", "data.num_workers=0"]
    listed.write_text("path,label\n" + "\n".join(rows[::-1]))
    found, metrics = evaluate_checkpoint(weights, "all", place, "folder", progress=False)
    assert (found.class_names, found.split) == (predictions.class_names, "all")
    expected = predictions.take([predictions.keys[n] for n in some])
    assert found.labels.tolist() == expected.labels.tolist() == [1, 1, 1, 3, 3, 3]
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert metrics.top1 == pytest.approx(expected.correct.mean())
    assert metrics.samples.tolist() == [0, 3, 0, 3]
    listed.write_text("path,label\n" + rows[0])  # a single one, of which nothing is held out
    one, _ = evaluate_checkpoint(weights, "all", place, "folder", progress=False)
    assert one.labels.tolist() == [1]
    listed.write_text("path,label,split\n" + "\n".join(f"{row},test" for row in rows))
    tested, _ = evaluate_checkpoint(weights, "test", place, "folder", progress=False)
    assert tested.keys == found.keys
    with pytest.raises(Gesture3dError, match="no validation split; every sample of it: --split a"):
        evaluate_checkpoint(weights, "validation", place, "folder", progress=False)
    arguments = ["--weights", weights, "--split", "all", "--data", "folder", "--set", *place]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, arguments)])
    assert evaluate.main() == 0
    assert "folder_rgb, all" in capsys.readouterr().out


def test_without_labels_there_are_predictions_and_no_metrics(
    folder, weights, evaluated, tmp_path
) -> None:
    names, keys = evaluated[0].class_names, evaluated[0].keys
    root = jester_layout(tmp_path / "j", folder, names, keys)
    place = [f"data.root={root}", "data.num_workers=0"]
    found, metrics = evaluate_checkpoint(weights, "test", place, "jester", progress=False)
    assert metrics is None
    path = write_evaluation(tmp_path / "e", weights, evaluated_experiment(weights), found, None)
    assert (read_predictions(path).labels == -1).all()
    assert [p.name for p in (tmp_path / "e").iterdir()] == ["predictions.csv"]


def test_other_classes_and_other_samples_are_refused(folder, weights, evaluated, tmp_path) -> None:
    predictions = evaluated[0]

    def refusal(overrides: list[str], data: str | None = None, split: str = "test") -> str:
        with pytest.raises(Gesture3dError) as caught:
            evaluate_checkpoint(weights, split, overrides, data, progress=False)
        return str(caught.value)

    names = ("down", "left", "right", "up", "wave", "zoom")
    root = jester_layout(tmp_path / "a", folder, names, predictions.keys)
    message = refusal([f"data.root={root}", "data.num_workers=0"], "jester")
    assert f"{root}: its classes are not those of the training" in message
    assert "not in the training: wave, zoom (data.classes=[…] takes some)" in message
    assert "all samples of another set: --data" in refusal([], split="all")
    assert "only in the training: up" in refusal(["data.classes=[down, left, right]"])
    assert "not the one of its training" in refusal(["data.seed=3"])
    assert "has no test split" in refusal(["data.test_share=0"])


def test_several_views_are_averaged(weights, evaluated) -> None:
    views = ["data.eval_clips=2", "data.eval_crops=3"]
    found, _ = evaluate_checkpoint(weights, "test", views, progress=False)
    assert found.keys == evaluated[0].keys
    assert not np.allclose(found.scores, evaluated[0].scores, atol=1e-4)


def test_the_folder_lies_beside_a_runs_weights(weights, tmp_path) -> None:
    run = weights.parent
    assert evaluation_folder(weights, "test") == run / "evaluation-test"
    assert evaluation_folder(run / "last.ckpt", "test") == run / "evaluation-last-test"
    elsewhere = evaluation_folder(tmp_path / "net.safetensors", "validation", "configs/x.yaml")
    assert elsewhere == Path("evaluation-x-net-validation")


def test_samples_seen_otherwise_have_a_folder_of_their_own(weights) -> None:
    """Not that of the run's own predictions, which other commands compare and fuse."""
    assert changed_inputs(weights, ["data.num_workers=0", "data.eval_clips=1"]) == []
    changes = changed_inputs(weights, ["data.eval_crops=3", "data.eval_clips=2"])
    assert changes == ["eval_clips=2", "eval_crops=3"]
    found = evaluation_folder(weights, "validation", None, changes)
    assert found == weights.parent / "evaluation-validation-eval_clips=2-eval_crops=3"
    assert evaluation_folder(weights, "test", None, ["a=b/c\n"]).name == "evaluation-test-a=b_c_"


def test_a_network_that_gives_no_numbers_is_refused(weights, tmp_path) -> None:
    tensors, description = checkpoint.load(weights)
    for part, factor, reason in (
        ("classifier", float("nan"), "no usable weights: classifier.*NaN or infinite"),
        ("", 1e30, "scores of 12 samples are not finite"),  # finite weights whose products are not
    ):
        broken = {
            n: t * factor if part in n and t.is_floating_point() else t for n, t in tensors.items()
        }
        checkpoint.save(tmp_path / "broken.safetensors", broken, description)
        with pytest.raises(Gesture3dError, match=reason):
            evaluate_checkpoint(tmp_path / "broken.safetensors", progress=False)


@pytest.mark.parametrize(
    "setting",
    [
        *("model.hidden_size=7", "model.width=1", "optim.lr=5", "train.epochs=3", "data=5"),
        *("data.augmentation.shift=0.1", "data.temporal_jitter=false", "train.num_threads=2"),
    ],
)
def test_a_setting_that_changes_nothing_is_refused(weights, setting) -> None:
    """It would stand in the report as the experiment that was evaluated."""
    with pytest.raises(Gesture3dError, match="an evaluation does not use it"):
        evaluated_experiment(weights, [setting])
    used = ["data.num_workers=0", "train.device=cpu", "train.eval_batch_size=3", "train.seed=0"]
    assert evaluated_experiment(weights, used).train.eval_batch_size == 3


def test_a_strangers_checkpoint_writes_nothing_where_it_likes(tmp_path) -> None:
    """The generated set would be rendered into a folder that the file names."""
    place = tmp_path / "anywhere"
    experiment = load_experiment("variant_a", "synthetic", [f"data.root={place}"])
    model = build_model(experiment.model, 27)
    names = [f"class {n}" for n in range(27)]
    description = checkpoint.Description(experiment.model_dump(mode="json"), names, {})
    path = tmp_path / "run" / "last.ckpt"
    checkpoint.save(path, model.state_dict(), description)
    for call in (lambda: evaluate_checkpoint(path, progress=False), lambda: resumable(path.parent)):
        with pytest.raises(Gesture3dError, match=r"its data was in .*anywhere, which is not here"):
            call()
    assert not place.exists()
    elsewhere = [f"data.root={tmp_path / 'elsewhere'}"]
    assert evaluated_experiment(path, elsewhere).data.root == tmp_path / "elsewhere"
    assert changed_inputs(path, [*elsewhere, "data.eval_clips=2"]) == ["eval_clips=2"]
