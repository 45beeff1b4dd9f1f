import os
import subprocess
import sys

import pytest

from gesture3d import machine
from gesture3d.config import load_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.training.run import train

FAULTS = """
import resource, sys
from gesture3d.machine import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    for _ in range(4):
        [np.ones(12 << 20, np.float32) for _ in range(4)]  # 48 MiB each
use()
before = faults()
use()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_freed_memory_is_not_fetched_anew_from_the_system():
    def faults(how):
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    if faults("returned") < 4096:  # pages of one block
        pytest.skip("this C library keeps freed memory anyway")
    assert faults("kept") <= 100


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 5),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 5),
        ({}, 5),
    ],
)
def test_cores_are_those_that_a_container_has_time_of(tmp_path, monkeypatch, files, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5), raising=False)
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    assert machine.num_cores() == expected
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    assert machine.num_cores() == 1


def test_more_threads_than_openmp_allows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    experiment = load_experiment("gru", "skeleton_folder", ["train.num_threads=2"])
    with pytest.raises(Gesture3dError, match="OMP_THREAD_LIMIT allows 1"):
        train(experiment, tmp_path / "run", progress=False)
