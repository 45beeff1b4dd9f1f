"""What was written and is read back, damaged or made up: refused in one line before it is used."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.data.index import Item
from gesture3d.data.video.prepared.cache import open_cache
from gesture3d.data.video.prepared.manifest import Record, read_manifest, to_line, write_manifest
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.metrics import compute_metrics
from gesture3d.evaluation.predict import Predictions
from gesture3d.live.networks import Networks
from gesture3d.models import build_model
from gesture3d.studies.folds import report_folds
from gesture3d.studies.runner import PlannedRun
from gesture3d.training.optim import build_optimizer
from gesture3d.training.result import read_result
from gesture3d.training.state import check_optimizer_state, checked_progress
from gesture3d.work.classify import inputs_of

EXPERIMENT = load_experiment("gru", "skeleton_folder", ["model.hidden_size=4", "train.epochs=3"])
DESCRIPTION = {
    "experiment": EXPERIMENT.model_dump(mode="json"),
    "class_names": ["left", "right"],
    "data_fingerprint": {"train": "0"},
    "num_features": 6,
}
CALIBRATION = {"temperature": 2.5, "quantiles": [0.25, 0.5, 1.0], "num_samples": 9, "data": "x"}
BROKEN_CALIBRATIONS = (
    *({"temperature": value} for value in (0, 0.0, -1.0, math.inf, math.nan, "1", True, 1e9)),
    *(
        {"quantiles": value}
        for value in ([], [0.5], [0.5, 0.25], [0.5, math.inf], [math.nan, 1.0], 0.5)
    ),
    *({"num_samples": 0}, {"num_samples": 2.5}, {"data": 5}, {"odd": 1}),
)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return build_model(EXPERIMENT.model, 2, 6).state_dict()


def written(path: Path, weights: dict, **changes) -> Path:
    """A checkpoint whose description has these changes."""
    metadata = {"format": checkpoint.FORMAT, "description": json.dumps(DESCRIPTION | changes)}
    save_file({n: t.clone().contiguous() for n, t in weights.items()}, path, metadata=metadata)
    return path


def refusal(call, *arguments) -> str:
    with pytest.raises(Gesture3dError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500
    return str(caught.value)


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        *({"class_names": 5}, {"class_names": []}, {"class_names": [1, 2]}, {"class_names": "ab"}),
        *({"class_names": ["a", "a"]}, {"num_features": [97]}, {"num_features": True}),
        *({"num_features": -1}, {"num_features": 2**40}, {"num_features": None}, {"metrics": 5}),
        *({"data_fingerprint": [1]}, {"versions": {"torch": 2}}, {"experiment": []}, {"odd": 1}),
        *({"channel_names": "abc"}, {"metrics": {"top1": math.nan}}, {"progress": [1]}),
        *({"calibration": CALIBRATION | change} for change in BROKEN_CALIBRATIONS),
        *({"online": {"thresholds": value}} for value in ({}, {"a": 1.5}, {"a": "x"}, [0.5])),
        *({"online": {"thresholds": {"a": 0.5}, "smoothing": value}} for value in (-1, math.nan)),
    ],
    ids=str,
)
def test_a_description_of_wrong_types_is_refused(weights, tmp_path, changes) -> None:
    path = written(tmp_path / "w.safetensors", weights, **changes)
    assert "w.safetensors" in refusal(checkpoint.load_model, path)


@pytest.mark.parametrize("text", ['"x"', "[]", '{"experiment": 5}', "[" * 100_000, "{"])
def test_tools_that_read_a_description_alone_refuse_a_damaged_one(weights, tmp_path, text) -> None:
    path = tmp_path / "run" / "best.safetensors"
    path.parent.mkdir()
    tensors = {name: tensor.clone().contiguous() for name, tensor in weights.items()}
    save_file(tensors, path, metadata={"format": checkpoint.FORMAT, "description": text})
    assert "best.safetensors" in refusal(inputs_of, str(path))
    assert "runs/run" not in Networks(tmp_path).listed()


def test_a_description_that_is_nested_deep_is_refused(weights, tmp_path) -> None:
    metrics: dict = {}
    for _ in range(900):
        metrics = {"a": metrics}
    path = written(tmp_path / "w.safetensors", weights, metrics=metrics)
    assert "nested too deep" in refusal(checkpoint.load, path)


def test_a_calibration_is_read_and_written_beside_the_same_weights(weights, tmp_path) -> None:
    path = written(tmp_path / "w.safetensors", weights, calibration=CALIBRATION)
    _, description = checkpoint.load(path)
    found = description.calibration
    assert (found.temperature, found.num_samples) == (2.5, 9)
    levels = [found.threshold(kept) for kept in (1.0, 0.75, 0.5, 0.0)]
    assert levels == pytest.approx([0.25, 0.375, 0.5, 1.0], abs=2e-6)
    other = checkpoint.Calibration(0.5, [0.1, 0.2], 3, "y")
    checkpoint.add_calibration(path, other, tmp_path / "other.safetensors")
    assert checkpoint.load(path)[1].calibration == found
    checkpoint.add_calibration(path, other)
    tensors, description = checkpoint.load(path)
    assert description.calibration == other
    assert tensors.keys() == weights.keys()
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)


def test_an_online_decision_is_kept_beside_the_calibration(weights, tmp_path) -> None:
    path = written(tmp_path / "w.safetensors", weights, calibration=CALIBRATION)
    before = checkpoint.load(path)[1]
    assert before.online is None
    name = before.class_names[1]
    decision = checkpoint.OnlineDecision({name: 0.5}, 0.2, 0.1, "sfinge", 0.9, "streams")
    checkpoint.add_online_decision(path, decision)
    assert checkpoint.load(path)[1] == replace(before, online=decision)
    other = replace(decision, thresholds={"no class": 0.5})
    assert "no class" in refusal(checkpoint.add_online_decision, path, other)


def test_a_network_larger_than_its_weights_is_not_built(weights, tmp_path) -> None:
    huge = load_experiment(
        "gru", "skeleton_folder", ["model.hidden_size=10000", "model.num_layers=100"]
    )
    path = written(
        tmp_path / "w.safetensors", weights, experiment=huge.model_dump(mode="json")
    )  # would take 240 GB
    assert "larger than its weights" in refusal(checkpoint.load_model, path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t * math.nan, "NaN or infinite"),
        (lambda t: t * 0 + math.inf, "NaN or infinite"),
        (lambda t: t.double() * 0 + 1e39, "NaN or infinite"),  # finite, but not in float32
        (lambda t: t.int(), "int32 in the file"),
        (lambda t: t > 0, "bool in the file"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(weights, tmp_path, change, why) -> None:
    name = "network.gru.weight_ih_l0"
    path = written(tmp_path / "w.safetensors", weights | {name: change(weights[name])})
    assert re.search(rf"w\.safetensors: .*{name}: .*{why}", refusal(checkpoint.load_model, path))
    model = build_model(EXPERIMENT.model, 2, 6)
    assert why in refusal(checkpoint.initialise_from, model, EXPERIMENT, path)


def test_half_and_double_precision_are_still_read(weights, tmp_path) -> None:
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        cast = {n: t.to(kind) if t.is_floating_point() else t for n, t in weights.items()}
        model, _ = checkpoint.load_model(written(tmp_path / "w.safetensors", cast))
        assert next(model.parameters()).dtype == torch.float32


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(key=st.sampled_from([*DESCRIPTION, "metrics", "progress", "channel_names"]), value=JSON)
def test_any_description_is_one_or_one_line(weights, tmp_path_factory, key, value) -> None:
    path = written(tmp_path_factory.getbasetemp() / "fuzz.safetensors", weights, **{key: value})
    try:
        checkpoint.load_model(path)
    except Gesture3dError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


def test_the_version_is_not_that_of_a_repository_around_the_package(tmp_path, monkeypatch) -> None:
    """An installed package may lie inside anyone's repository."""
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "venv" / "site-packages" / "gesture3d"
    inside.mkdir(parents=True)
    monkeypatch.setattr(checkpoint, "PACKAGE", inside)
    monkeypatch.setattr(checkpoint.metadata, "version", lambda name: f"version of {name}")
    checkpoint._git_revision.cache_clear()
    assert checkpoint.versions()["gesture3d"] == "version of gesture3d"
    checkpoint._git_revision.cache_clear()


# --- the place in a run, and the optimiser --------------------------------------------------------

ROW = dict.fromkeys(
    ("learning_rate", "train_loss", "train_top1", "train_top5", "clips_per_second", "seconds"), 0.5
)
ROW |= {"epoch": 0, "validation_top1": 0.5, "validation_loss": 1.0}
PROGRESS = {
    "epoch": 1,
    "step": 2,
    "sums": [1.0, 2.0, 3.0, 4],
    "seconds": 1.5,
    "losses": [],
    "best_epoch": 0,
    "history": [ROW],
    "peak_memory": 10,
}
KEEP_BEST = load_experiment("gru", "skeleton_folder", ["train.epochs=3", "train.keep=best"])


def test_a_place_in_the_run_is_read_as_it_was_written() -> None:
    assert checked_progress(PROGRESS, KEEP_BEST, 4, Path("x")) == PROGRESS
    old = {k: v for k, v in PROGRESS.items() if k not in ("losses", "peak_memory")}
    assert checked_progress(old, KEEP_BEST, 4, Path("x"))["losses"] == []


@pytest.mark.parametrize(
    "changes",
    [
        *({"epoch": -5}, {"epoch": 4}, {"epoch": 1.0}, {"epoch": "1"}, {"epoch": True}),
        *({"step": -1}, {"step": 5}, {"sums": [1.0]}, {"sums": [math.inf] * 4}, {"seconds": None}),
        *({"best_epoch": 1}, {"best_epoch": -2}, {"history": []}, {"history": [ROW, ROW]}),
        *({"history": [ROW | {"epoch": 7}]}, {"history": [{"epoch": 0}]}, {"losses": [0.1] * 5}),
        *({"history": [ROW | {"train_loss": "1"}]}, {"history": 5}, {"odd": 1}),
        {"history": [{k: v for k, v in ROW.items() if k != "validation_loss"}]},
    ],
    ids=str,
)
def test_a_place_in_the_run_that_cannot_be_is_refused(changes) -> None:
    said = refusal(checked_progress, PROGRESS | changes, KEEP_BEST, 4, Path("last.ckpt"))
    assert said.startswith("last.ckpt: its place in the run is damaged")


@pytest.mark.parametrize("key", ["epoch", "step", "sums", "seconds", "best_epoch", "history"])
def test_a_place_in_the_run_is_whole(key) -> None:
    rest = {k: v for k, v in PROGRESS.items() if k != key}
    said = refusal(checked_progress, rest, KEEP_BEST, 4, Path("last.ckpt"))
    assert said == f"last.ckpt: its place in the run is damaged ({key}: missing)"


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_an_optimisers_state_must_be_whole_and_of_its_parameters(name) -> None:
    """Wrong shapes end in a segmentation fault in the fused optimiser."""
    experiment = load_experiment("gru", "skeleton_folder", [f"optim.name={name}"])
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(model, experiment.optim)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {
        f"{number}.{key}": torch.as_tensor(value)
        for number, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    check_optimizer_state(state, optimizer, Path("x"), True)
    check_optimizer_state({}, optimizer, Path("x"), False)
    key = "0.momentum_buffer" if name == "sgd" else "0.exp_avg_sq"
    first = state[key]
    for change in (
        {key: first.new_zeros(first.numel())},
        {key: first.T.contiguous()},
        {key: first.double()},
        {key: first.int()},
        {key: first * math.nan},
        {"9.exp_avg": first},
        {"x.y.z": first},
    ):
        said = refusal(check_optimizer_state, state | change, optimizer, Path("last.ckpt"), True)
        assert said.startswith("last.ckpt: the optimiser's state is damaged")
        assert next(iter(change)) in said
    for missing in state:
        rest = {k: v for k, v in state.items() if k != missing}
        said = refusal(check_optimizer_state, rest, optimizer, Path("x"), True)
        assert f"{missing}: missing" in said


# --- results, manifests, caches -------------------------------------------------------------------

RESULT = {
    "epochs": 3,
    "kept_epoch": 2,
    "order_top1": {"real order": 0.5},
    "num_samples": {"train": 8, "validation": 4},
    "cost": [["total", 10, 100]],
    "train_seconds": 1.5,
    "train_clips_per_second": 10.0,
    "inference_clips_per_second": 20.0,
    "peak_memory": 1000,
    "peak_gpu_memory": None,
    "device": "cpu",
    "processor": "AMD EPYC, AVX512_CORE_BF16",
    "num_processes": 1,
    "num_threads": 1,
    "versions": {"gesture3d": "abc"},
    "events": {"F1@0.5": 0.5, "repeats caught": None},
}


def test_a_result_is_read_as_it_was_written(tmp_path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert json.loads(json.dumps(read_result(tmp_path))) == RESULT


@pytest.mark.parametrize(
    "changes",
    [
        *({"cost": 5}, {"cost": []}, {"cost": [["a", "b", "c"]]}, {"train_seconds": math.nan}),
        *({"order_top1": {"real order": 2}}, {"order_top1": {}}, {"num_samples": {"train": -1}}),
        *({"epochs": "3"}, {"epochs": 0}, {"versions": {}}, {"peak_memory": [1]}),
    ],
    ids=str,
)
def test_a_result_of_wrong_types_is_refused(tmp_path, changes) -> None:
    (tmp_path / "result.json").write_text(json.dumps(RESULT | changes))
    assert "result.json: broken" in refusal(read_result, tmp_path)
    (tmp_path / "result.json").write_text("[" * 100_000)
    assert "result.json: broken" in refusal(read_result, tmp_path)


def test_a_folds_metrics_are_checked(tmp_path) -> None:
    run = PlannedRun("fold-1-seed-0", "gru", "skeleton_folder", 0, (), EXPERIMENT)
    path = tmp_path / run.name / "evaluation-test" / "metrics.json"
    path.parent.mkdir(parents=True)
    for top1 in ("NaN", "7", '"x"', "null", "[]"):
        path.write_text(f'{{"top1": {top1}}}')
        assert "metrics.json: broken" in refusal(report_folds, [run], tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"num_frames": {}}, {"fps": "25"}, {"fps": math.nan}, {"status": "odd"}, {"key": 5}, {"x": 1}],
    ids=str,
)
def test_a_manifest_of_wrong_types_is_refused(tmp_path, changes) -> None:
    record = Record("a", "train", "a.mp4", "0", "ok", num_frames=5, fps=25.0)
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [record])
    assert read_manifest(path) == {"a": record}
    path.write_text(json.dumps(json.loads(to_line(record)) | changes) + "\n")
    assert "manifest.jsonl:1: damaged" in refusal(read_manifest, path)
    path.write_text(2 * to_line(record))
    assert "manifest.jsonl:2: damaged" in refusal(read_manifest, path)


@pytest.mark.parametrize("place", [[0, 9, 8, 8, 3], [-1, 1, 8, 8, 3], "x", [0], [0.5, 1, 8, 8, 3]])
def test_a_cache_whose_index_is_damaged_is_decoded_again(tmp_path, place) -> None:
    import cv2

    (tmp_path / "a").mkdir()
    for number in range(2):
        frame = np.full((8, 8, 3), 50 * number, np.uint8)
        cv2.imwrite(str(tmp_path / "a" / f"{number}.png"), frame)
    clips = [Item("a", 0, tmp_path / "a")]
    frames = open_cache(clips, tmp_path / "cache", 8, progress=False)["a"].copy()
    (index,) = (tmp_path / "cache").glob("*.json")
    stored = json.loads(index.read_text())
    stored["clips"]["a"] = place
    index.write_text(json.dumps(stored))
    again = open_cache(clips, tmp_path / "cache", 8, progress=False)["a"]
    np.testing.assert_array_equal(again, frames)


# --- numbers --------------------------------------------------------------------------------------


def test_metrics_are_numbers_or_an_error() -> None:
    labels = np.array([0, 1])
    odd = Predictions(["a", "b"], np.array([[0, np.nan], [1, 2]], np.float32), labels)
    assert "not finite" in refusal(compute_metrics, odd)
    large = Predictions(["a", "b"], np.array([[-3e38, 3e38], [3e38, -3e38]], np.float32), labels)
    assert math.isfinite(compute_metrics(large).loss)  # 6e38, which float32 cannot hold
