"""From file to label: every way is measured, on clips that are made for it."""

import shutil

import pytest
from torch import nn

from gesture3d.benchmarks import inference, workers
from gesture3d.errors import Gesture3dError
from gesture3d.machine import num_cores
from tests.clips import tiny_settings
from tests.inference.networks import few_blocks, untrained

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg, which makes the clips")


def means(num_classes: int) -> nn.Module:
    """In place of a large network."""
    return nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, num_classes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.mark.slow
def test_a_row_for_every_way(folder, tmp_path, monkeypatch) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name}, of the extra export, is not installed")
    monkeypatch.setattr(inference.shutil, "which", lambda name: name == "ffmpeg")  # compiling: slow
    monkeypatch.setattr(inference, "BATCH", 4)
    monkeypatch.setattr("torchvision.models.video.r3d_18", lambda num_classes: means(num_classes))
    few_blocks(monkeypatch)
    small = untrained(tmp_path, "no_recurrence", "folder", None, *tiny_settings(tmp_path)).weights
    rows = {row["way"]: row for row in inference.table(folder, 0.01, small)}
    names = {"PyTorch", inference.OURS, "onnxruntime", "onnxruntime, int8", inference.TORCHVISION}
    assert names <= set(rows) <= names | {"folded, bf16"}
    assert all(value > 0 for row in rows.values() for value in row.values() if value != row["way"])


def test_the_network_contains_its_products(monkeypatch) -> None:
    monkeypatch.setattr(inference, "BATCH", 2)
    rows = inference.against_products(None, 0.01)
    assert {row["clips"] for row in rows} == {"1", "2"}
    for row in rows:
        assert 0.5 < row["ratio (1.25)"] < 20


def test_reading_and_network_overlap(folder, tmp_path) -> None:
    small = untrained(tmp_path, "no_recurrence", "folder", None, *tiny_settings(tmp_path)).weights
    (row,) = inference.overlap(folder, 4, small)
    assert set(row) > {"reading, clips/s", "network, clips/s", "classify, clips/s"}
    assert all(value > 0 for value in row.values())


@pytest.mark.slow
@pytest.mark.skipif(num_cores() < 2, reason="two cores")
def test_workers_beside_one(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(workers, "KIND", inference.KINDS[0])
    small = untrained(tmp_path, "no_recurrence", "folder", None, *tiny_settings(tmp_path)).weights
    rows = workers.workers(folder, 64, 1, small)
    assert [(row["workers"], row["cores"]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "2")]
    assert rows[0]["against one on 1"] == rows[1]["against one on 2"] == 1.0
    assert all(0 < row["clips/s, start and end included"] < row["clips/s"] for row in rows)


def test_too_few_clips_say_nothing_of_workers(folder) -> None:
    with pytest.raises(Gesture3dError, match="on two cores and 64 clips or more"):
        workers.workers(folder, 63, 1)
