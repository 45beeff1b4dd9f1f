"""Training over machines: groups of processes that torchrun joins over loopback."""

import contextlib
import json
import os
import shutil
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
LONGER = ["train.epochs=20"]


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


def test_the_command_of_a_machine_that_was_lost_goes_on_with_the_run(
    folder, alone, tmp_path
) -> None:
    """Of machines that train together; of one alone, or with other settings, it is refused."""
    command = [sys.executable, *arguments(folder, shutil.copytree(alone, tmp_path / "runs"))]
    machines = {"GROUP_WORLD_SIZE": "2", "RANK": "0", "WORLD_SIZE": "1"}
    for words, environment in ((command, {}), ([*command, "optim.lr=0.1"], machines)):
        done = run_forked(words, env=environment)
        assert "run exists; choose another --name" in done.stderr
    done = run_forked([*command, "data.num_workers=1"], env=machines)
    assert done.returncode == 0, done.stderr
    assert "resumed at epoch 2" in done.stdout + done.stderr


def group(port: int, words: list[str]) -> subprocess.Popen:
    """What one of two machines runs."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test"]
    torchrun += ["--local-addr=127.0.0.1", "--max-restarts=3", *words]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    environment |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # else none can join once more
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


@pytest.fixture(scope="module")
def calm(folder, tmp_path_factory) -> Path:
    """The longer run, in two processes of one machine that nobody disturbs."""
    runs = tmp_path_factory.mktemp("calm")
    done = run([sys.executable, *arguments(folder, runs, *LONGER, "train.processes=2")])
    assert done.returncode == 0, done.stderr
    return runs


def begin(folder: Path, runs: Path) -> tuple[int, list[subprocess.Popen]]:
    """Two groups that have trained for three epochs; the first has the port where they meet."""
    port, deadline = free_port(), time.monotonic() + 300
    first = group(port, arguments(folder, runs, *LONGER))
    while not listens(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = group(port, arguments(folder, runs, *LONGER))
    while len(epochs(runs)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return port, [first, second]


def epochs(runs: Path) -> list[int]:
    rows = runs / "run" / "metrics.jsonl"
    lines = rows.read_text().splitlines() if rows.is_file() else []
    return [json.loads(line)["epoch"] for line in lines]


@pytest.mark.slow
def test_training_goes_on_when_the_processes_of_a_machine_are_killed(
    folder, calm, tmp_path
) -> None:
    """torchrun starts all of them anew, and they go on from the last checkpoint."""
    _, groups = begin(folder, tmp_path)
    kill_workers(groups[1])
    assert [process.wait(500) for process in groups] == [0, 0]
    assert epochs(tmp_path) == list(range(20))
    assert distance(tmp_path, calm) == 0.0


@pytest.mark.slow
def test_training_goes_on_when_a_machine_is_lost_and_its_command_given_again(
    folder, calm, tmp_path
) -> None:
    """The other machine's torchrun waits for it."""
    port, (first, second) = begin(folder, tmp_path)
    kill(second)
    again = group(port, arguments(folder, tmp_path, *LONGER))
    assert [process.wait(500) for process in (first, again)] == [0, 0]
    assert epochs(tmp_path) == list(range(20))
    assert distance(tmp_path, calm) == 0.0


@pytest.mark.slow
def test_where_the_machine_is_lost_at_which_they_meet_both_commands_are_given_again(
    folder, calm, tmp_path
) -> None:
    """The other one ends by itself: without the lost one nobody could find it."""
    _, (first, second) = begin(folder, tmp_path)
    kill(first)
    assert second.wait(300) != 0
    assert len(epochs(tmp_path)) < 20
    port = free_port()
    groups = [group(port, arguments(folder, tmp_path, *LONGER)) for _ in range(2)]
    assert [process.wait(500) for process in groups] == [0, 0]
    assert epochs(tmp_path) == list(range(20))
    assert distance(tmp_path, calm) == 0.0


def kill(torchrun: subprocess.Popen) -> None:
    """It and all that it has started, at once."""
    torchrun.send_signal(signal.SIGSTOP)
    kill_workers(torchrun)
    torchrun.kill()
    torchrun.wait()


def kill_workers(torchrun: subprocess.Popen) -> None:
    """What a torchrun has started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == torchrun.pid:
                os.kill(int(stat.parent.name), signal.SIGKILL)
