"""Uneven sets, trained whole: class weights and balanced epochs find more of the rare class."""

import numpy as np
import pytest

from gesture3d.config import load_experiment
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.training.run import train


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """One number a step: noise about 0, or, one time in ten, about 1; they overlap."""
    root, rng = tmp_path_factory.mktemp("uneven"), np.random.default_rng(0)
    rows = ["path,label,split"]
    for number in range(240):
        split = "train" if number < 160 else "validation"
        rare = number % 10 == 0 if split == "train" else number % 2 == 0
        sequence = rng.normal(0, 0.2, 8) + rng.normal(0.8 * rare, 0.5)
        np.save(root / f"{number}.npy", sequence.astype(np.float32))
        rows.append(f"{number}.npy,{'rare' if rare else 'often'},{split}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    return root


def macro_f1(sequences, folder, *settings: str) -> float:
    """Of the last epoch, on as many samples of each class; counted here."""
    own = [f"data.root={sequences}", "data.csv=list.csv", "data.num_workers=0", *settings]
    own += ["model.hidden_size=8", "model.num_layers=1", "optim.lr=0.01", "optim.ema_decay=null"]
    own += ["train.epochs=8", "train.keep=last", "train.device=cpu"]
    train(load_experiment("gru", "sequence_folder", own), folder, progress=False)
    found = read_predictions(folder / "evaluation-validation" / "predictions.csv")
    named, labels = found.scores.argmax(1), found.labels
    hits = [((named == k) & (labels == k)).sum() for k in (0, 1)]
    sizes = [(named == k).sum() + (labels == k).sum() for k in (0, 1)]
    return float(np.mean([2 * hit / size for hit, size in zip(hits, sizes, strict=True)]))


@pytest.fixture(scope="module")
def plain(sequences, tmp_path_factory) -> float:
    return macro_f1(sequences, tmp_path_factory.mktemp("runs") / "plain")


@pytest.mark.parametrize(
    "setting",
    ["optim.class_weights=balanced", "optim.class_weights=[1, 9]", "data.balance=true"],
)
def test_they_raise_macro_f1(sequences, plain, tmp_path, setting) -> None:
    assert macro_f1(sequences, tmp_path / "even", setting) > plain + 0.1
