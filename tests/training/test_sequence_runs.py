"""Whole runs on sequences of any values: every network trains, evaluates and classifies files."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import evaluate_checkpoint
from gesture3d.files import PACKAGE
from gesture3d.inference.classifier import Classifier
from gesture3d.training.run import train
from tests.data.test_series import ts_text
from tests.forked_runs import run_forked

NAMES = ["rises", "falls"]


def series(number: int, steps: int) -> np.ndarray:
    """Two values a step, of which the first rises or falls."""
    rng = np.random.default_rng(number)
    x = rng.normal(0, 0.1, (steps, 2))
    x[:, 0] += (1, -1)[number % 2] * np.linspace(0, 2, steps) + rng.normal()
    return x


def archive(root: Path, first: int = 8, last: int = 19) -> Path:
    for end, start in (("TRAIN", 0), ("TEST", 100)):
        cases = [
            (series(start + n, first + (5 * n) % (last - first + 1)), n % 2) for n in range(24)
        ]
        (root / f"Moves_{end}.ts").write_text(ts_text(cases, NAMES))
    return root


def settings(root: Path, *more: str) -> list[str]:
    few = ["train.epochs=8", "train.num_threads=1", "train.device=cpu"]
    return [f"data.root={root}", *few, *more]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return archive(tmp_path_factory.mktemp("moves"))


@pytest.fixture(scope="module")
def weights(root, tmp_path_factory) -> Path:
    experiment = load_experiment("gru", "sequence_folder", settings(root, "optim.lr=1e-2"))
    return train(experiment, tmp_path_factory.mktemp("runs") / "gru", progress=False)


def test_it_learns_and_the_test_file_is_evaluated(weights) -> None:
    predictions, metrics = evaluate_checkpoint(weights, "test", progress=False)
    assert len(predictions.keys) == 24
    assert all(key.startswith("Moves_TEST:") for key in predictions.keys)
    assert metrics.top1 > 0.9
    with pytest.raises(Gesture3dError, match="has no validation split"):
        evaluate_checkpoint(weights, "validation", progress=False)


def test_files_are_classified_with_the_scores_of_evaluation(weights, tmp_path) -> None:
    classifier = Classifier(weights)
    predictions, _ = evaluate_checkpoint(weights, "test", progress=False)
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], series(100 + number, 8 + 5 * number))
    scores = classifier.scores([classifier.load(path) for path in paths])
    by_line = sorted(range(24), key=lambda row: int(predictions.keys[row].rpartition(":")[2]))
    expected = torch.from_numpy(predictions.scores[by_line[:3]])
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_the_command_line_classifies_npy_and_csv(weights, tmp_path) -> None:
    np.save(tmp_path / "rises.npy", series(0, 12))
    np.savetxt(tmp_path / "falls.csv", series(1, 12), delimiter=",", header="x,y", comments="")
    np.save(tmp_path / "three.npy", np.zeros((5, 3)))
    (tmp_path / "hole.csv").write_text("\n".join(["1,2", *["?,2"] * 11, "1,2"]))
    out = tmp_path / "out" / "found.csv"
    out.parent.mkdir()
    tool = PACKAGE / "cli" / "classify.py"
    done = run_forked([sys.executable, tool, tmp_path, "--weights", weights, "--out", out])
    assert done.returncode == 1
    assert "three.npy: 3 features a frame" in done.stderr
    assert "hole.csv, step 2: channel 1 has no values for 11 samples" in done.stderr
    assert "Traceback" not in done.stderr
    rows = [row for row in csv.DictReader(out.open()) if not row["error"]]
    assert {Path(row["path"]).stem: row["class_1"] for row in rows} == {n: n for n in NAMES}


@pytest.mark.parametrize(
    ("model", "small"),
    [("cnn1d", []), ("residual_bilstm", ["model.num_stacked=1", "model.num_residual=1"])],
)
def test_networks_for_windows_want_one_length(model, small, root, tmp_path) -> None:
    def run(place: Path, name: str, *more: str) -> Path:
        few = settings(place, "train.epochs=1", *small, *more)
        return train(
            load_experiment(model, "sequence_folder", few), tmp_path / name, progress=False
        )

    with pytest.raises(Gesture3dError, match=r"8 to 19 steps; .* set data\.num_frames"):
        run(root, "refused")
    path = run(root, "resampled", "data.num_frames=16")
    assert len(evaluate_checkpoint(path, "test", progress=False)[0].keys) == 24
    assert run(archive(tmp_path, 12, 12), "equal").is_file()  # these need nothing


def test_deepgru_reads_them_too(root, tmp_path) -> None:
    small = settings(root, "train.epochs=1", "model.dims={gru1: 8, gru2: 6, gru3: 4, fc: 4}")
    experiment = load_experiment("deepgru_small", "sequence_folder", small)
    assert train(experiment, tmp_path / "run", progress=False).is_file()
