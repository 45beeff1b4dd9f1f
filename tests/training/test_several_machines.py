"""Training over machines: groups of processes that torchrun joins over loopback."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gesture3d import checkpoint
from gesture3d.files import PACKAGE
from tests.clips import square_folder, tiny_settings
from tests.forked_runs import run_forked

TRAIN = PACKAGE / "cli" / "train.py"
# Without what each process rounds, or draws, otherwise than one alone.
SETTINGS = ["train.epochs=1", "train.sync_batch_norm=true", "train.precision=fp32"]
# Adam makes a step of any rounding, and every step more of what the one before rounded.
SETTINGS += ["optim.name=sgd", "optim.lr=0.01", "train.batch_size=16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return square_folder(tmp_path_factory.mktemp("squares"))


def run(words: list[str]) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)


def arguments(folder: Path, runs: Path, *overrides: str) -> list[str]:
    words = [str(TRAIN), "--cfg", "variant_a", "--data", "folder", "--runs", str(runs)]
    return [*words, "--name", "run", "--set", *tiny_settings(folder), *SETTINGS, *overrides]


def weights(runs: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(runs / "run" / "last.ckpt")[0]


def distance(runs: Path, others: Path) -> float:
    """Of the networks' weights and running statistics."""
    one, other = weights(runs), weights(others)
    assert one.keys() == other.keys()
    names = [name for name in one if name.startswith("model.")]
    return sum(float((one[n].double() - other[n].double()).square().sum()) for n in names) ** 0.5


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("alone")
    done = run_forked([sys.executable, *arguments(folder, runs)])
    assert done.returncode == 0, done.stderr
    return runs


def test_processes_train_as_one(folder, alone, tmp_path) -> None:
    """With statistics of their own for batch norm they are thousands of times further away."""
    done = run_forked([sys.executable, *arguments(folder, tmp_path, "train.processes=2")])
    assert done.returncode == 0, done.stderr
    assert distance(tmp_path, alone) < 0.005


def test_fewer_samples_than_a_batch_count_alike(folder, alone, tmp_path) -> None:
    """The 16 that there are, over three processes: 6, 5 and 5."""
    own = ["train.batch_size=21", "train.processes=3"]
    done = run_forked([sys.executable, *arguments(folder, tmp_path, *own)])
    assert done.returncode == 0, done.stderr
    assert distance(tmp_path, alone) < 0.001


def group(port: int, words: list[str]) -> subprocess.Popen:
    """What one of two machines runs."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test"]
    torchrun += ["--local-addr=127.0.0.1", "--max-restarts=3", *words]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.Popen(torchrun, env=environment, start_new_session=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_two_machines_train_as_one(folder, alone, tmp_path) -> None:
    port = free_port()
    groups = [group(port, arguments(folder, tmp_path)) for _ in range(2)]
    assert [process.wait(300) for process in groups] == [0, 0]
    assert distance(tmp_path, alone) < 0.005


@pytest.mark.slow
def test_training_goes_on_when_the_processes_of_a_machine_are_killed(folder, tmp_path) -> None:
    """torchrun starts all of them anew, and they go on from the last checkpoint."""
    more = ["train.epochs=20"]
    port, rows = free_port(), tmp_path / "run" / "metrics.jsonl"
    first = group(port, arguments(folder, tmp_path, *more))
    deadline = time.monotonic() + 300
    while not listens(port):  # where the two meet: the machine that must not be lost
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = group(port, arguments(folder, tmp_path, *more))
    while not (rows.is_file() and len(rows.read_text().splitlines()) >= 3):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_workers(second)
    assert [process.wait(500) for process in (first, second)] == [0, 0]
    found = [json.loads(line)["epoch"] for line in rows.read_text().splitlines()]
    assert found == list(range(20))
    calm = [*more, "train.processes=2"]
    done = run([sys.executable, *arguments(folder, tmp_path / "calm", *calm)])
    assert done.returncode == 0, done.stderr
    assert distance(tmp_path, tmp_path / "calm") == 0.0


def kill_workers(torchrun: subprocess.Popen) -> None:
    """What a torchrun has started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == torchrun.pid:
                os.kill(int(stat.parent.name), signal.SIGKILL)
