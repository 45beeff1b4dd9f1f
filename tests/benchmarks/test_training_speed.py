"""The benchmark of what surrounds the network: that it measures, not what."""

import multiprocessing
import subprocess
from types import SimpleNamespace

import pytest

from gesture3d.benchmarks import training
from gesture3d.benchmarks.training import _measure, first_step, loop_overhead
from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE
from tests.forked_runs import Forked


class Training(Forked):
    def __init__(self, command: list[str], **_) -> None:
        super().__init__(command)

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_) -> None:
        self.wait()


def test_the_start_is_measured_on_a_real_training(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        forking = SimpleNamespace(**vars(subprocess) | {"Popen": Training})
        patch.setattr(training, "subprocess", forking)
        small = ["model.width=0.03125", "data.num_frames=4"]
        row = first_step(PACKAGE / "cli" / "train.py", 2, small)
    assert row["command to end of first step, s"] > row["of which loading and the step"] > 0
    broken = tmp_path / "train.py"
    broken.write_text("import sys; sys.exit('error: no such thing')")
    with pytest.raises(Gesture3dError, match="the training failed: error: no such thing"):
        first_step(broken, num_clips=1)


@pytest.fixture
def small_networks(monkeypatch):
    few = ["model.width=0.03125", "data.num_frames=4", "train.batch_size=4"]

    def small(model, data, settings=()):
        return load_experiment(model, data, [*settings, *few])

    monkeypatch.setattr(training, "load_experiment", small)


def test_the_loop_is_set_against_bare_steps(small_networks):
    row = loop_overhead(num_steps=1, seconds=0)
    assert row["the loop / bare steps"] > 0.5
    assert row["an epoch of steps"] == 1


def test_processes_and_threads_are_measured(monkeypatch, small_networks):
    forking = multiprocessing.get_context("fork")  # spares the others what they begin with
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: forking)
    speed, latencies = _measure(processes=1, threads=1, waiting="PASSIVE", seconds=0.1)
    assert speed > 0
    assert all(seconds > 0 for seconds in latencies)
    speed, latencies = _measure(processes=2, threads=1, waiting="PASSIVE", seconds=0.1)
    assert speed > 0
    assert latencies == []
