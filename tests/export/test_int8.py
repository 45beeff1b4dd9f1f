"""Files in int8: what they lose on validation is printed, and their weights are int8."""

import re

import pytest
import torch

from gesture3d import checkpoint
from gesture3d.cli import export as tool
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.evaluation.evaluate import evaluate_checkpoint
from gesture3d.models import build_model
from tests.clips import square_folder, tiny_settings
from tests.inference.networks import few_blocks

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason=f"{name}, of the extra export, is not installed")


def test_int8_and_its_price(tmp_path, monkeypatch, capsys) -> None:
    import onnx

    from gesture3d.export import read_onnx

    few_blocks(monkeypatch)
    root = square_folder(tmp_path / "clips", clips_per_class=3)
    experiment = load_experiment("no_recurrence", "folder", tiny_settings(root))
    datasets = build_datasets(experiment.data, experiment.train.seed, progress=False)
    torch.manual_seed(0)
    model = build_model(experiment.model, 4)
    description = checkpoint.Description(
        experiment.model_dump(mode="json"), list(datasets.class_names), datasets.fingerprint
    )
    weights, path = tmp_path / "w.safetensors", tmp_path / "w.onnx"
    checkpoint.save(weights, model.state_dict(), description)
    words = ["export", "--weights", weights, "--to", "onnx", "--int8", "--out", path]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    assert tool.main() == 0
    printed = capsys.readouterr().out
    count = len(datasets.validation)
    assert f"{count} real samples" in printed
    found = re.search(rf"top-1 of {count} validation samples \S+% \(float32 (\S+)%\)", printed)
    predictions, _ = evaluate_checkpoint(weights, "validation", progress=False)
    right = (predictions.scores.argmax(1) == predictions.labels).mean()
    assert float(found[1]) == pytest.approx(100 * right, abs=0.1)
    small = tmp_path / "w-int8.onnx"
    assert read_onnx(small).precision == "int8"
    assert read_onnx(small).class_names == list(datasets.class_names)
    kinds = {t.data_type for t in onnx.load(small).graph.initializer if len(t.dims) == 5}
    assert kinds == {onnx.TensorProto.INT8}
