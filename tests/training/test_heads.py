"""New heads on a network that stays as it is."""

import numpy as np
import pytest
import torch

from gesture3d.benchmarks import teaching
from gesture3d.benchmarks.teaching import compare
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.errors import Gesture3dError
from gesture3d.files import resource
from gesture3d.inference.classifier import Classifier
from gesture3d.training.heads import class_means, fit_head, linear_head
from tests.clips import square_folder

INIT = resource("weights") / "variant_a-synthetic.safetensors"


def points(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes in 20 dimensions, of unlike scales and off the origin."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(3, 20)) * 3
    labels = rng.integers(0, 3, 60)
    features = centres[labels] + rng.normal(size=(60, 20)) + 5
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize("fit", [class_means, linear_head])
def test_heads_tell_classes_apart(fit) -> None:
    weight, bias = fit(*points(0), 3)
    features, labels = points(1)
    assert ((features @ weight.T + bias).argmax(dim=1) == labels).float().mean() > 0.95


def test_class_means_are_the_nearest_by_cosine() -> None:
    features, labels = points(0)
    weight, bias = class_means(features, labels, 3)
    other, _ = points(2)
    centre = features.double().mean(dim=0)
    means = torch.stack([features[labels == k].double().mean(dim=0) for k in range(3)]) - centre
    cosine = torch.nn.functional.cosine_similarity(
        (other.double() - centre)[:, None], means[None], dim=2
    )
    assert torch.equal((other @ weight.T + bias).argmax(dim=1), cosine.argmax(dim=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return square_folder(tmp_path_factory.mktemp("clips"), clips_per_class=3, classes=2)


@pytest.mark.parametrize("head", ["means", "linear"])
def test_a_head_is_a_checkpoint_as_any_other(folder, tmp_path, head) -> None:
    settings = [f"data.root={folder}", "data.validation_share=0.34"]
    experiment = load_experiment("variant_a", "folder", settings)
    datasets = build_datasets(experiment.data, 0, progress=False)
    out = tmp_path / "w.safetensors"
    fit_head(datasets, experiment, INIT, head, out)
    classifier = Classifier(out)
    assert classifier.class_names == ["left", "right"]
    for label in ("right", "left"):
        assert classifier(folder / label / "0.mp4")[0].name == label


def test_ways_are_compared(folder, monkeypatch) -> None:
    """Weights that follow what moves learn from, and are measured on, clips cut down to it."""
    read = []

    def build(data, *args, **more):
        read.append(data.framing)
        return build_datasets(data, *args, **more)

    monkeypatch.setattr(teaching, "build_datasets", build)
    settings = [f"data.root={folder}", "data.validation_share=0.34"]
    rows = list(compare("folder", settings, INIT, ["means", "linear"], [1], 2))
    assert [(row["way"], row["clips a class"]) for row in rows] == [
        ("means", "1"),
        ("linear", "1"),
    ]
    assert set(read) == {"motion"}
    assert all(len(row["top-1, %"].split(",")) == 2 for row in rows)
    with pytest.raises(Gesture3dError, match="way 'magic'"):
        next(compare("folder", settings, INIT, ["magic"], [1], 1))
