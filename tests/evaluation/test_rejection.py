"""Known against unknown samples, and calibration of weights that are there, from the tool down."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.cli import evaluate
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.data.batch import Sample
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import calibrate
from gesture3d.evaluation.predict import Predictions
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.evaluation.rejection import Seen, compare, distance, look
from gesture3d.models import build_model
from gesture3d.rng import generator

KINDS = ("fall", "jump", "rest", "turn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sequences of two values around a place that is their class's."""
    root = tmp_path_factory.mktemp("sequences")
    for number, name in enumerate(KINDS):
        (root / name).mkdir()
        for one in range(6):
            rng = generator("sequence", name, one)
            values = rng.normal(number, 0.3, (8 + one, 2))
            np.savetxt(root / name / f"{one}.csv", values, delimiter=",")
    return root


@pytest.fixture
def weights(folder, tmp_path) -> Path:
    """An untrained network of three of the four classes, two validation samples each."""
    settings = [
        *(f"data.root={folder}", "data.classes=[fall, jump, turn]", "data.validation_share=0.34"),
        "data.test_share=0",
        *("model.hidden_size=5", "train.keep=last"),
    ]
    experiment = load_experiment("gru", "sequence_folder", settings)
    datasets = build_datasets(experiment.data, 0, progress=False)
    torch.manual_seed(0)
    features = datasets.spec.num_features
    model = build_model(experiment.model, 3, features)
    description = checkpoint.Description(
        experiment.model_dump(mode="json"),
        list(datasets.class_names),
        datasets.fingerprint,
        num_features=features,
    )
    checkpoint.save(tmp_path / "w.safetensors", model.state_dict(), description)
    return tmp_path / "w.safetensors"


@pytest.fixture
def tool(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["evaluate", *map(str, arguments)])
        return evaluate.main()

    return run


def test_weights_are_calibrated_in_place_or_elsewhere_and_stay_what_they_are(
    weights, tool, capsys
) -> None:
    before, other = weights.read_bytes(), weights.with_name("other.safetensors")
    assert tool("--weights", weights, "--split", "validation", "--out", "raw") == 0
    assert tool("--weights", weights, "--calibrate", other, "--out", "e") == 0
    assert weights.read_bytes() == before
    said = capsys.readouterr().out
    tensors, description = checkpoint.load(other)
    calibration = description.calibration
    assert f"{other}: temperature {calibration.temperature:.3f}; expected" in said
    assert calibration.num_samples == 6
    assert calibration.data == "sequence_folder, validation"
    for name, tensor in checkpoint.load(weights)[0].items():
        assert torch.equal(tensors[name], tensor)
    raw, found = (read_predictions(Path(where) / "predictions.csv") for where in ("raw", "e"))
    np.testing.assert_allclose(found.scores, raw.scores / calibration.temperature, rtol=1e-6)
    for _ in range(2):  # what is calibrated is the network, however often
        assert tool("--weights", weights, "--calibrate", "--out", "e") == 0
        assert checkpoint.load(weights)[1] == description


def test_classes_that_training_left_out_and_files_are_the_unknown(
    folder, weights, tool, capsys
) -> None:
    assert tool("--weights", weights, "--unknown", "data.classes=null", "--out", "a") == 0
    said = capsys.readouterr().out
    assert "6 known samples (validation), 2 unknown" in said
    assert "threshold" not in said
    tool("--weights", weights, "--calibrate", "--out", "e")
    assert tool("--weights", weights, "--unknown", folder / "rest", "--out", "b") == 0
    assert "by the checkpoint's threshold" in capsys.readouterr().out
    one, other = (json.loads((Path(w) / "rejection.json").read_text()) for w in "ab")
    assert (one["num_unknown"], other["num_unknown"]) == (2, 6)
    assert one["kept"] is None
    assert other["kept"] >= 5 / 6
    assert list(other["scores"]) == list(one["scores"])
    # the same samples, all of the class, by their files or by the setting
    assert tool("--weights", weights, "--unknown", "data.classes=null", "--split", "train") == 0
    assert "12 known samples (train), 4 unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--unknown", "data.seed=0"], "no samples of classes that the network does not know"),
        (["--unknown", "nothing/here"], "nothing/here: no such file or directory"),
        (["--unknown", "data.classes=null", "--split", "test"], "has no test split"),
        (["--calibrate", "--set", "data.validation_share=0"], "has no validation split"),
    ],
)
def test_what_cannot_be_measured_is_refused(weights, tool, arguments, why) -> None:
    with pytest.raises(Gesture3dError, match=why):
        tool("--weights", weights, *arguments)


@pytest.mark.parametrize(
    "arguments", [["--calibrate", "--split", "test"], ["--calibrate", "--unknown", "a"]]
)
def test_options_that_exclude_each_other(weights, tool, arguments) -> None:
    with pytest.raises(SystemExit):
        tool("--weights", weights, *arguments[:1], *arguments[1:])


class Sum(torch.nn.Module):
    head = "last"

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor, lengths: None = None) -> torch.Tensor:
        return self.last(inputs.float().mean((1, 3, 4)))  # of (B, T, C, H, W)


def test_features_are_what_the_head_is_given_and_views_are_averaged() -> None:
    clips = torch.randn(5, 2, 4, 3, 6, 6)  # two views each
    model = Sum()
    seen = look(model, [Sample(str(n), clip, n % 2) for n, clip in enumerate(clips)], batch_size=2)
    np.testing.assert_allclose(seen.features, clips.mean((1, 2, 4, 5)), atol=1e-6)
    assert seen.labels.tolist() == [0, 1, 0, 1, 0]
    assert seen.scores.shape == (5, 2)
    assert not model.last._forward_pre_hooks


def seen_of(features: np.ndarray, labels: np.ndarray | None = None) -> Seen:
    scores = features[:, :2] * 0 + features[:, :2]
    return Seen(scores, features, np.zeros(len(features), int) if labels is None else labels)


def test_the_distance_is_mahalanobis_to_the_nearest_class() -> None:
    """Against a whitening of what was trained on; a class without samples counts for nothing."""
    rng = generator("mahalanobis")
    labels = np.repeat([0, 2], 200)
    mixing = rng.normal(size=(4, 4))
    features = rng.normal(size=(400, 4)) @ mixing + np.where(labels == 2, 9.0, 0.0)[:, None]
    found = distance(seen_of(features, labels))(features[:9] + 1)
    means = [features[labels == k].mean(0) for k in (0, 2)]
    covariance = np.mean([np.cov(features[labels == k].T, ddof=0) for k in (0, 2)], axis=0)
    covariance += 0.01 * np.trace(covariance) / 4 * np.eye(4)
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    expected = np.min([(((features[:9] + 1 - m) @ white.T) ** 2).sum(1) for m in means], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_unknown_samples_far_away_are_rejected_by_what_sees_it() -> None:
    """Their scores are higher than those of the known, and their features far from all."""
    rng = generator("far away")
    labels = np.repeat([0, 1], 100)
    known = rng.normal(size=(200, 3)) * 0.1 + np.eye(3)[labels] * 4
    unknown = rng.normal(size=(50, 3)) * 0.1 + np.array([6.0, 0.0, 5.0])
    ours, theirs = seen_of(known, labels), seen_of(unknown)
    calibration = calibrate(Predictions(["k"] * 200, known[:, :2].astype(np.float32), labels), "x")
    found = compare(ours, theirs, ours, calibration)
    assert found.scores["distance to class means"] == {"auroc": 1.0, "rejected": 1.0}
    assert found.scores["highest score"] == {"auroc": 0.0, "rejected": 0.0}
    assert (found.num_known, found.num_unknown, found.rejected) == (200, 50, 0.0)
    assert found.kept == pytest.approx(0.95, abs=0.006)
    low = replace(theirs, scores=theirs.scores - 9)
    assert compare(ours, low, ours, calibration).rejected == 1.0
