"""Runs on small real video files: what they leave behind, and that nothing disturbs them."""

import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.calibration import fit_temperature
from gesture3d.evaluation.evaluate import evaluate_checkpoint
from gesture3d.evaluation.metrics import compute_metrics
from gesture3d.evaluation.predictions import read_predictions
from gesture3d.files import PACKAGE
from gesture3d.training.result import read_result
from gesture3d.training.run import train
from tests.clips import square_folder, tiny_settings
from tests.forked_runs import Forked, run_forked
from tests.run_ends import whole_ends

REPOSITORY = PACKAGE.parent
TRAIN = PACKAGE / "cli" / "train.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return square_folder(tmp_path_factory.mktemp("squares"))


def command(folder: Path, runs: Path, *overrides: str, data: str = "folder") -> list[str]:
    settings = [*tiny_settings(folder), *overrides]
    start = [sys.executable, str(TRAIN), "--cfg", "variant_a", "--data", data]
    return [*start, "--runs", str(runs), "--name", "run", "--set", *settings]


def assert_same_tensors(one: Path, other: Path) -> None:
    first, second = (checkpoint.load(path)[0] for path in (one, other))
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> Path:
    """An uninterrupted run of 3 epochs of 4 steps, with all that it leaves at its end."""
    runs = tmp_path_factory.mktemp("runs")
    with whole_ends():
        done = run_forked(command(folder, runs))
    assert done.returncode == 0, done.stderr
    return runs / "run"


def test_a_run_leaves_everything_behind(whole: Path) -> None:
    names = {p.name for p in whole.iterdir()}
    assert {"experiment.yaml", "last.ckpt", "best.safetensors", "metrics.jsonl"} <= names
    assert {"report.md", "curves.png", "confusion.png", "tensorboard"} <= names
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    expected = {"train_loss", "train_top1", "train_top5", "clips_per_second", "learning_rate"}
    assert expected | {"validation_loss", "validation_top1", "validation_top5"} <= rows[0].keys()
    report = (whole / "report.md").read_text()
    assert "shuffled frames" in report
    assert "one frame repeated" in report
    _, description = checkpoint.load_model(whole / "best.safetensors")
    assert description.class_names == ["down", "left", "right", "up"]
    best = max(row["validation_top1"] for row in rows)
    assert description.metrics["validation"]["top1"] == pytest.approx(best)
    cost = {block: work for block, _, work in read_result(whole)["cost"]}
    assert min(cost["res3d"], cost["recurrent.0"], cost["mobilenet"]) > cost["classifier"] > 0
    pictures = [Image.open(whole / f"{name}.png") for name in ("curves", "confusion")]
    assert all(picture.width > 400 for picture in pictures)


def test_the_table_and_the_headline_of_a_report_count_epochs_from_1(whole: Path) -> None:
    headline, table = (whole / "report.md").read_text().split("## Epochs")
    rows = table.split("## ")[0].splitlines()
    lines = [row.strip("| ").split(" | ") for row in rows if row.startswith("| ")]
    assert [line[0] for line in lines] == ["epoch", "---", "1", "2", "3"]
    top1 = [float(line[lines[0].index("validation_top1")]) for line in lines[2:]]
    kept, share = re.search(r"epoch (\d+), top-1 \*\*([0-9.]+)%", headline).groups()
    assert max(top1) == top1[int(kept) - 1] == pytest.approx(float(share) / 100, abs=1e-3)


def test_a_run_calibrates_its_best_weights(whole: Path) -> None:
    """What is written is divided by the temperature, once; undone, it has the loss of training."""
    _, description = checkpoint.load(whole / "best.safetensors")
    temperature = description.calibration.temperature
    found = read_predictions(whole / "evaluation-validation" / "predictions.csv")
    own = replace(found, scores=found.scores * np.float32(temperature))
    loss = description.metrics["validation"]["loss"]
    assert compute_metrics(own).loss == pytest.approx(loss, rel=1e-4)
    assert temperature == pytest.approx(fit_temperature(own.scores, own.labels), rel=1e-4)
    assert description.calibration.num_samples == len(found.keys)
    said = json.loads((whole / "result.json").read_text())["calibration"]
    after = compute_metrics(found).calibration_error
    assert said["calibration_error_after"] == pytest.approx(after, abs=1e-5)
    before = compute_metrics(own).calibration_error
    assert said["calibration_error_before"] == pytest.approx(before, abs=1e-5)
    assert f"Calibrated: temperature {temperature:.3f}; " in (whole / "report.md").read_text()
    again, _ = evaluate_checkpoint(whole / "best.safetensors", "validation", progress=False)
    np.testing.assert_allclose(again.scores, found.scores, atol=1e-5)


def test_tensorboard_shows_what_the_network_looks_at(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    shown = [tag for tag in events.Tags()["images"] if tag.startswith("explanation/")]
    assert len(shown) == 3
    assert all(events.Images(tag)[0].width > 100 for tag in shown)


def test_no_class_name_ends_a_run(tmp_path) -> None:
    """Formulas, markup, line ends and letters that fonts lack: in pictures, reports and events."""
    names = ["$\\frac$", "a|b\nc", "挥手\u2028", "👋\x1b[2J"]
    folder = square_folder(tmp_path / "clips", clips_per_class=4)
    for old, new in zip(("down", "left", "right", "up"), names, strict=True):
        (folder / old).rename(folder / new)
    settings = [*tiny_settings(folder), "train.epochs=1"]
    with warnings.catch_warnings(), whole_ends():
        warnings.filterwarnings("error", message=".*missing from.*font")
        train(load_experiment("variant_a", "folder", settings), tmp_path / "run", progress=False)
    report = (tmp_path / "run" / "report.md").read_text()
    assert all(f"\n| {name} | " in report for name in ("\\$\\\\frac\\$", "a\\|b\\\\nc"))
    found = read_predictions(tmp_path / "run" / "evaluation-validation" / "predictions.csv")
    assert sorted(found.class_names) == sorted(names)


def test_it_learns(tmp_path) -> None:
    """Four directions of motion, 28 training clips: far above chance."""
    clips = square_folder(tmp_path / "clips", clips_per_class=10)
    settings = [*tiny_settings(clips), "train.epochs=8", "optim.lr=0.01", "train.eval_every=8"]
    experiment = load_experiment("variant_a", "folder", settings)
    train(experiment, tmp_path / "run", progress=False)
    metrics = checkpoint.load(tmp_path / "run" / "best.safetensors")[1].metrics
    assert metrics["validation"]["top1"] > 0.7


def test_killed_and_resumed_is_bit_identical(folder, whole, tmp_path) -> None:
    """SIGKILL at several points, each time resumed: the weights of an uninterrupted run."""
    saves_each_step = "train.checkpoint_minutes=1e-6"
    arguments = command(folder, tmp_path, saves_each_step)
    last = tmp_path / "run" / "last.ckpt"
    for target in (2, 9):
        process = Forked(arguments)
        while process.poll() is None and _steps_done(last) < target:
            time.sleep(0.002)
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        arguments = [sys.executable, str(TRAIN), "--resume", str(tmp_path / "run")]
    done = run_forked(arguments)
    assert done.returncode == 0, done.stderr
    assert "resumed at epoch" in done.stdout
    assert_same_tensors(tmp_path / "run" / "last.ckpt", whole / "last.ckpt")
    assert_same_tensors(tmp_path / "run" / "best.safetensors", whole / "best.safetensors")
    ours, theirs = (_without_times(p / "metrics.jsonl") for p in (tmp_path / "run", whole))
    assert ours == theirs


def _steps_done(last: Path) -> int:
    if not last.exists():
        return 0
    progress = checkpoint.load(last)[1].progress
    return progress["epoch"] * 4 + progress["step"]


def _without_times(path: Path) -> list[dict]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in r.items() if k not in ("seconds", "clips_per_second")} for r in rows]


@pytest.mark.parametrize(
    ("number", "processes"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)]
)
def test_a_signal_saves_and_says_how_to_resume(
    folder, tmp_path, monkeypatch, number, processes
) -> None:
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.setattr("gesture3d.training.loop.ASK_EVERY", 2)
    arguments = command(folder, tmp_path, "train.epochs=2000", f"train.processes={processes}")
    process = Forked(arguments, start_new_session=True)
    last = tmp_path / "run" / "last.ckpt"
    while process.poll() is None and not last.exists():
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # Ctrl-C reaches every process of the terminal
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"continue: {shlex.join(map(str, [*arguments[:2], '--resume', last.parent]))}\n" in out
    assert "Traceback" not in err
    assert checkpoint.load(last)[1].progress["epoch"] >= 1


def test_no_process_outlives_a_killed_run(folder, tmp_path) -> None:
    arguments = command(folder, tmp_path, "train.epochs=2000", "train.processes=2")
    process = Forked(arguments, start_new_session=True)
    while process.poll() is None and not (tmp_path / "run" / "last.ckpt").exists():
        time.sleep(0.05)
    process.kill()
    process.communicate()
    for _ in range(200):
        time.sleep(0.1 * _session_lives(process.pid))
    assert not _session_lives(process.pid)


def _session_lives(session: int) -> bool:
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def in_two_processes(folder, tmp_path_factory) -> Path:
    """One epoch in two processes, of which the tool starts the second."""
    runs = tmp_path_factory.mktemp("two")
    settings = ["train.epochs=1", "train.eval_batch_size=3", "train.processes=2"]
    done = run_forked(command(folder, runs, *settings))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch   1/1") == 1  # the main process alone speaks
    return runs / "run"


def test_torchrun_gives_the_same_weights(folder, in_two_processes, tmp_path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    settings = ["train.epochs=1", "train.eval_batch_size=3"]
    arguments = command(folder, tmp_path, *settings)[1:]
    done = run_forked([*torchrun, "--nproc-per-node=2", *arguments])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch   1/1") == 1
    assert_same_tensors(tmp_path / "run" / "last.ckpt", in_two_processes / "last.ckpt")


def test_two_processes_report_the_metrics_of_one(in_two_processes) -> None:
    """Validation covers every sample once and equals a single process's."""
    row = json.loads((in_two_processes / "metrics.jsonl").read_text())

    from gesture3d.data import build_datasets, make_loader
    from gesture3d.data.batch import EpochSampler
    from gesture3d.evaluation.metrics import compute_metrics
    from gesture3d.evaluation.predict import predict

    model, description = checkpoint.load_model(in_two_processes / "best.safetensors")
    experiment = description.validated_experiment("best")
    validation = build_datasets(experiment.data, experiment.train.seed, progress=False).validation
    sampler = EpochSampler(num_samples=len(validation), batch_size=8, seed=0, shuffle=False)
    loader = make_loader(validation, sampler)
    predictions = predict(model, loader, torch.device("cpu"))
    assert predictions.keys == sorted(validation.keys)
    metrics = compute_metrics(predictions)
    assert row["validation_loss"] == pytest.approx(metrics.loss, rel=1e-5)
    assert row["validation_top1"] == pytest.approx(metrics.top1)


def test_fine_tuning_starts_from_the_given_weights_and_stabilises_as_they(folder, whole, tmp_path):
    before, said = checkpoint.load(whole / "best.safetensors")
    said.experiment["model"]["stabilise"] = True
    checkpoint.save(tmp_path / "steady.safetensors", before, said)
    settings = [*tiny_settings(folder), "train.epochs=1", "optim.lr=1e-12", "optim.weight_decay=0"]
    experiment = load_experiment("variant_a", "folder", settings)
    train(experiment, tmp_path / "run", init=tmp_path / "steady.safetensors", progress=False)
    after, said = checkpoint.load(tmp_path / "run" / "best.safetensors")
    change = (after["classifier.weight"] - before["classifier.weight"]).abs().max()
    assert change <= 1e-6
    assert said.experiment["model"]["stabilise"] is True


def test_a_diverged_run_ends_in_one_line(folder, tmp_path) -> None:
    settings = [*tiny_settings(folder), "optim.lr=1e6", "optim.name=sgd", "train.epochs=3"]
    experiment = load_experiment("variant_a", "folder", settings)
    with pytest.raises(Gesture3dError, match=r"try a smaller optim\.lr"):
        train(experiment, tmp_path / "run", progress=False)


def test_changed_data_is_not_resumed(folder, whole, tmp_path) -> None:
    other = square_folder(tmp_path / "other", clips_per_class=7)
    experiment = load_experiment("variant_a", "folder", tiny_settings(other))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").write_bytes((whole / "last.ckpt").read_bytes())
    with pytest.raises(Gesture3dError, match="data set has changed"):
        train(experiment, tmp_path / "run", resume=True, progress=False)


def test_bad_input_ends_in_one_line_and_writes_nothing(folder, tmp_path) -> None:
    cases = {
        "no config 'varaint_a'": ["--cfg", "varaint_a"],
        "nothing to resume": ["--resume", str(tmp_path / "nowhere")],
        "unknown key 'optim.lrr'": ["--cfg", "variant_a", "--set", "optim.lrr=1"],
        "jester": ["--cfg", "variant_a", "--data", "jester", "--set", f"data.root={tmp_path}/no"],
        "no such checkpoint": [
            *command(folder, tmp_path / "runs")[2:],
            *("--init", str(tmp_path / "no.safetensors")),
        ],
    }
    for expected, arguments in cases.items():
        done = run_forked([sys.executable, TRAIN, *arguments], cwd=tmp_path)
        assert done.returncode not in (0, 1), expected
        assert "Traceback" not in done.stderr
        assert expected in done.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "runs").exists()


def test_the_report_names_the_clips_that_were_left_out(folder, tmp_path) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(folder, clips)
    (clips / "left" / "bad.mp4").write_bytes(b"no video")
    settings = [*tiny_settings(clips), "train.epochs=1", "data.on_bad_clip=exclude"]
    train(load_experiment("variant_a", "folder", settings), tmp_path / "run", progress=False)
    report = (tmp_path / "run" / "report.md").read_text()
    assert "Left out: 1 clips" in report
    assert "left/bad" in report


def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(folder, tmp_path) -> None:
    for settings, message in (
        (["data.classes=[left]"], "one class only, 'left'"),
        (["data.num_frames=1"], "data.num_frames, data.size: clips of 1 frames"),
    ):
        experiment = load_experiment("variant_a", "folder", [*tiny_settings(folder), *settings])
        with pytest.raises(Gesture3dError, match=message):
            train(experiment, tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()


def test_one_clip_too_small_for_batch_norm_is_refused_in_words(folder, tmp_path) -> None:
    settings = [*tiny_settings(folder), "train.batch_size=1", "data.num_frames=4"]
    experiment = load_experiment("variant_a", "folder", settings)
    with pytest.raises(Gesture3dError, match=r"one value a channel.*raise train.batch_size"):
        train(experiment, tmp_path / "run", progress=False)


def test_an_epoch_is_saved_before_anything_is_said_of_it(folder, whole, tmp_path, monkeypatch):
    """As with ``train.py | head -1``: who reads it has gone."""

    def write(text: str) -> None:
        if text.startswith("epoch"):
            raise BrokenPipeError

    experiment = load_experiment("variant_a", "folder", tiny_settings(folder))
    monkeypatch.setattr("gesture3d.training.run_log.tqdm.write", write)
    for epoch in (1, 2):
        with pytest.raises(BrokenPipeError):
            train(experiment, tmp_path / "run", resume=epoch > 1)
        assert checkpoint.load(tmp_path / "run" / "last.ckpt")[1].progress["epoch"] == epoch
    monkeypatch.undo()
    train(experiment, tmp_path / "run", resume=True, progress=False)
    assert_same_tensors(tmp_path / "run" / "last.ckpt", whole / "last.ckpt")


def test_a_broken_clip_that_another_process_meets_is_named(folder, tmp_path) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(folder, clips)
    settings = ["data.cache_size=null", "train.processes=2"]
    experiment = load_experiment("variant_a", "folder", [*tiny_settings(clips), *settings])

    from gesture3d.data import build_datasets
    from gesture3d.data.batch import EpochSampler

    samples = build_datasets(experiment.data, experiment.train.seed, progress=False).train
    second = EpochSampler(len(samples), 2, experiment.train.seed, True, 1, 2, drop_last=True)
    path = samples.items[next(iter(second))[0][1]].path
    path.write_bytes(b"no video")
    done = run_forked(command(clips, tmp_path, *settings))
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {path}: ")
    assert "Traceback" not in done.stderr


def test_a_killed_worker_is_named_with_how_to_resume(folder, tmp_path, monkeypatch) -> None:
    experiment = load_experiment("variant_a", "folder", tiny_settings(folder))

    def ended(*_) -> None:
        raise RuntimeError("DataLoader worker (pid 31) is killed by signal: Killed. ")

    monkeypatch.setattr("gesture3d.training.closing.close", ended)
    advice = rf"process 31, which .* killed by signal: Killed: .*; continue: .* --resume {tmp_path}"
    with pytest.raises(Gesture3dError, match=advice):
        train(experiment, tmp_path / "run", progress=False)
