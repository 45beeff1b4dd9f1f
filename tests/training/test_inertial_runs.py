"""Inertial runs through the one loop: what they leave behind, and classification of recordings."""

import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gesture3d import checkpoint
from gesture3d.config import load_experiment
from gesture3d.data import build_datasets
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.evaluate import evaluate_checkpoint
from gesture3d.files import PACKAGE
from gesture3d.inference.classifier import Classifier
from gesture3d.models import build_model
from gesture3d.training.loop import Trainer
from gesture3d.training.run import resumable, train
from gesture3d.training.run_log import RunLog
from gesture3d.training.stopping import Interrupted
from tests.data.inertial.layouts import write_hapt
from tests.forked_runs import run_forked

RATE = 50.0
CLASSES = {"slow": 1.0, "fast": 4.0}


def motion(hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A swinging sensor: gravity, a swing of this frequency, noise. (T, 6) in g and rad/s."""
    t = np.arange(0, seconds, 1 / RATE)[:, None]
    swing = np.sin(2 * np.pi * (hz * t + rng.uniform(size=(1, 6))))
    return swing * 0.5 + [[0, 0, 1, 0, 0, 0]] + rng.normal(scale=0.05, size=(len(t), 6))


def write_recording(path, parts: list[tuple[str, np.ndarray]]) -> None:
    lines = ["time,ax,ay,az,gx,gy,gz,label"]
    number = 0
    for label, signal in parts:
        for row in signal:
            values = ",".join(f"{value:.5f}" for value in row)
            lines.append(f"{number / RATE:.3f},{values},{label}")
            number += 1
    path.write_text("\n".join(lines))


SETTINGS = (
    "data.window=32",
    "data.step=16",
    "data.median_steps=3",
    "data.lowpass_hz=20",
    "data.gravity_hz=0.3",
    "train.num_threads=1",
    "train.epochs=8",
    "train.batch_size=16",
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Four people who move slowly and fast for 8 s each; dora is the test subject."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for person in ("anna", "ben", "carl", "dora"):
        parts = [(label, motion(hz, 8, rng)) for label, hz in CLASSES.items()]
        write_recording(folder / f"{person}.csv", parts)
    return folder


def settings_for(folder, *more):
    held_out = ("data.validation_groups=[carl]", "data.test_groups=[dora]")
    return [f"data.root={folder}", *SETTINGS, *held_out, *more]


def train_on(recordings, cfg, runs):
    more = ["model.log_scales=[0.01]", "model.magnitudes=true"]
    experiment = load_experiment(cfg, "inertial_folder", settings_for(recordings, *more))
    return train(experiment, runs / "run", progress=False)


@pytest.fixture(scope="module")
def trained(recordings, tmp_path_factory):
    return train_on(recordings, "cnn1d", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def trained_lstm(recordings, tmp_path_factory):
    return train_on(recordings, "residual_bilstm_2x2", tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("network", ["trained", "trained_lstm"])
def test_a_run_describes_itself_and_is_evaluated_as_it_was_trained(network, recordings, request):
    trained = request.getfixturevalue(network)
    model, description = checkpoint.load_model(trained)
    assert description.num_features == 9  # body acceleration, angular velocity, total acceleration
    assert description.class_names == ["fast", "slow"]
    experiment = description.validated_experiment(trained)
    inputs = torch.stack(list(build_datasets(experiment.data, 0).train.inputs))
    torch.testing.assert_close(
        model.inputs(inputs).mean((0, 1)), torch.zeros(21), atol=1e-3, rtol=0
    )
    predictions, metrics = evaluate_checkpoint(trained, "validation")
    assert metrics.top1 == pytest.approx(description.metrics["validation"]["top1"])
    assert metrics.top1 >= 0.75  # chance: 0.5
    assert all(key.startswith("carl:") for key in predictions.keys)


def test_a_recording_becomes_a_timeline(trained, tmp_path):
    rng = np.random.default_rng(7)
    parts = [("", motion(CLASSES[name], 6, rng)) for name in ("fast", "slow", "fast")]
    write_recording(tmp_path / "new.csv", parts)
    (found,) = Classifier(trained, "cpu").classify([tmp_path / "new.csv"])
    assert [s.classes[0].name for s in found.segments] == ["fast", "slow", "fast"]
    edges = [s.start for s in found.segments] + [found.segments[-1].stop]
    assert edges == pytest.approx([0, 6, 12, 18], abs=0.5)
    assert edges[-1] == 18


def test_classification_gives_the_scores_of_evaluation(trained, recordings, tmp_path):
    """A test recording's first stretch: the very numbers that evaluation has for its windows."""
    predictions, _ = evaluate_checkpoint(trained, "test")
    classifier = Classifier(trained, "cpu")
    (found,) = classifier.classify([recordings / "dora.csv"])
    window = torch.from_numpy(found.signal[None, 16:48])
    row = predictions.keys.index("dora:18")  # the line of the window's first row
    np.testing.assert_allclose(classifier.scores(window)[0], predictions.scores[row], atol=1e-5)


def test_channels_are_found_by_their_names(trained, recordings, tmp_path):
    """Columns in another order, and others beside them, change nothing; a missing one is named."""
    header, *rows = (recordings / "dora.csv").read_text().splitlines()
    order = list(range(len(header.split(","))))[::-1]
    lines = [line.split(",") for line in (header, *rows)]
    text = "\n".join(",".join([*(cells[n] for n in order), "0"]) for cells in lines)
    (tmp_path / "dora.csv").write_text(text.replace(",0", ",extra", 1))
    classifier = Classifier(trained, "cpu")
    paths = [recordings / "dora.csv", tmp_path / "dora.csv"]
    expected, found = classifier.classify(paths, batch_size=1)
    assert found.segments == expected.segments
    (tmp_path / "dora.csv").write_text(text.replace(header.split(",")[1], "other", 1))
    (refused,) = classifier.classify(paths[1:])
    assert re.search(r"line 1: no column .*the network was trained on", refused.error)


def test_the_command_line_prints_writes_and_draws(trained, recordings, tmp_path):
    (tmp_path / "short.csv").write_text("x\n1\n2\n")
    command = [sys.executable, str(PACKAGE / "cli" / "classify.py"), "--weights", trained]
    command += [recordings / "dora.csv", tmp_path / "short.csv", tmp_path / "none.csv"]
    command += ["--out", tmp_path / "out.json", "--picture", tmp_path / "out.png"]
    done = run_forked(command)
    assert done.returncode == 1
    assert "00:00.0 – 00:0" in done.stdout
    assert "short.csv" in done.stderr
    assert "none.csv: no such file" in done.stderr
    assert done.stderr.splitlines()[-1] == "2 failed, 1 classified"
    assert "Traceback" not in done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    assert {"path", "start", "stop", "classes", "seconds", "error"} == rows[0].keys()
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_recordings_that_do_not_fit_are_refused(trained, tmp_path):
    classifier = Classifier(trained, "cpu")
    path = tmp_path / "r.csv"

    def message(text: str) -> str:
        path.write_text(text)
        (result,) = classifier.classify([path])
        return result.error

    def rows(count: int, columns: int = 6, rate: float = RATE) -> str:
        header = ",".join(["time", *("ax", "ay", "az", "gx", "gy", "gz")[:columns]])
        values = ",".join(["0.5"] * columns)
        return "\n".join([header, *(f"{n / rate:.4f},{values}" for n in range(count))])

    assert "no column gx, gy, gz; the network was trained on ax, ay," in message(
        rows(50, columns=3)
    )
    named, classifier.spec = classifier.spec, replace(classifier.spec, channel_names=None)
    assert "3 channels; the network was trained on 6" in message(rows(50, columns=3))
    classifier.spec = named
    assert "20 samples, but a window takes 32" in message(rows(20))
    assert "sampled at 100.0 Hz, but data.rate_hz is 50" in message(rows(50, rate=100))


def test_without_validation_groups_the_last_epoch_must_be_asked_for(recordings, tmp_path):
    alone = [f"data.root={recordings}", *SETTINGS, "train.epochs=1"]
    experiment = load_experiment("cnn1d", "inertial_folder", alone)
    with pytest.raises(Gesture3dError, match="no validation split"):
        train(experiment, tmp_path / "run", progress=False)
    experiment = load_experiment("cnn1d", "inertial_folder", [*alone, "train.keep=last"])
    path = train(experiment, tmp_path / "run2", progress=False)
    assert checkpoint.load(path)[1].metrics == {"epoch": 0}


# ------------------------------------------------------------------------- replaying the worst


REPLAY = ("train.replay_worst=2", "train.epochs=2", "train.keep=last")


def test_a_run_whose_last_step_diverges_says_so(recordings, tmp_path, monkeypatch):
    """The epoch's losses were finite, the weights are not."""
    original = Trainer._step

    def diverge(self, batches, sums):
        original(self, batches, sums)
        if self.progress.step == self.steps_per_epoch - 1:
            for parameter in self.model.parameters():
                parameter.data.fill_(torch.nan)

    monkeypatch.setattr(Trainer, "_step", diverge)
    experiment = load_experiment("cnn1d", "inertial_folder", settings_for(recordings))
    said = r"the highest validation score became nan in epoch 1; try a smaller optim\.lr \(now"
    with pytest.raises(Gesture3dError, match=said):
        train(experiment, tmp_path / "run", progress=False)


def test_the_batches_with_the_highest_losses_are_trained_on_again(
    recordings, tmp_path, monkeypatch
):
    steps = []  # (kind, keys, loss) in order
    original = Trainer._step

    def spy(self, batches, sums, kind="step"):
        before = sums[0].item()
        original(self, batches, sums, kind)
        steps.append((kind, batches[0].keys, sums[0].item() - before))

    monkeypatch.setattr(Trainer, "_step", spy)
    experiment = load_experiment("cnn1d", "inertial_folder", settings_for(recordings, *REPLAY))
    train(experiment, tmp_path / "run", progress=False)
    epoch = steps[: len(steps) // 2]
    base = [s for s in epoch if s[0] == "step"]
    assert len(epoch) == len(base) + 2
    worst = sorted(base, key=lambda s: -s[2])[:2]
    assert [keys for _, keys, _ in epoch[len(base) :]] == [keys for _, keys, _ in worst]


def test_a_run_with_replays_resumes_exactly(recordings, tmp_path, monkeypatch):
    experiment = load_experiment("cnn1d", "inertial_folder", settings_for(recordings, *REPLAY))
    whole = train(experiment, tmp_path / "whole", progress=False)
    original = Trainer._after_step

    def stop_in_the_second_epoch(self, sums, seconds):
        self._stop = self.progress.epoch == 1 and self.progress.step == 2
        original(self, sums, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_after_step", stop_in_the_second_epoch)
        with pytest.raises(Interrupted):
            train(experiment, tmp_path / "part", progress=False)
    moved = shutil.copytree(recordings, tmp_path / "moved")
    experiment = resumable(tmp_path / "part", [f"data.root={moved}", "train.checkpoint_minutes=1"])
    part = train(experiment, tmp_path / "part", resume=True, progress=False)
    one, other = checkpoint.load(whole)[0], checkpoint.load(part)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)
    stored = (tmp_path / "part" / "experiment.yaml").read_text()
    assert f"root: {moved}\n" in stored
    with pytest.raises(Gesture3dError, match=r"optim.lr=1: it would be another run"):
        resumable(tmp_path / "part", ["train.num_threads=1", "optim.lr=1"])
    shutil.rmtree(moved)
    with pytest.raises(Gesture3dError, match=r"moved, which is not here; name its place: --set"):
        resumable(tmp_path / "part")


def test_several_processes_save_the_sum_of_their_losses_and_go_on_with_their_own(
    recordings, tmp_path
):
    class OneOfTwo(Processes):
        def sum(self, values):
            return 2 * values  # as if the other had the same

    experiment = load_experiment("cnn1d", "inertial_folder", settings_for(recordings, *REPLAY))
    datasets = build_datasets(experiment.data, 0)

    def trainer(rank: int) -> Trainer:
        model = build_model(experiment.model, 2, datasets.spec.num_features)
        log = RunLog(tmp_path / "run", num_epochs=2, progress=False)
        here = OneOfTwo(0, 1, torch.device("cpu"))
        made = Trainer(experiment, model, datasets, here, log)
        made.processes = OneOfTwo(rank, 1, here.device)
        return made

    first = trainer(0)
    first.progress.losses, first._stop = [1.0, 3.0], True
    with pytest.raises(Interrupted):
        first._after_step(torch.zeros(4, dtype=torch.float64), 1.0)
    assert first.progress.losses == [1.0, 3.0]
    for rank, losses in ((0, [2.0, 6.0]), (1, [0.0, 0.0])):
        resumed = trainer(rank)
        resumed.resume(tmp_path / "run" / "last.ckpt")
        assert resumed.progress.losses == losses


def test_whole_recordings_of_any_length_are_learnt_and_tested(tmp_path) -> None:
    root = write_hapt(tmp_path / "hapt", seconds=24, more=(30, 36))
    small = [f"data.root={root}", 'data.validation_groups=["3"]', "data.window=100"]
    small += ["data.pre_roll=20", "model.num_stacked=1", "model.hidden=6"]
    small += ["train.epochs=2", "train.eval_every=1", "train.batch_size=4", "train.num_threads=1"]
    experiment = load_experiment("residual_lstm", "hapt_stream", small)
    path = train(experiment, tmp_path / "run", progress=False)
    found, _ = evaluate_checkpoint(path, "test", progress=False)
    assert len(set(found.keys)) == len(found.keys) > 0
