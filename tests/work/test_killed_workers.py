"""SIGKILL at twenty random moments of three workers on 5,000 clips: nothing lost, doubled or mixed.

Slow: `pytest -n0 -m slow tests/work/test_killed_workers.py`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gesture3d.files import PACKAGE
from tests.clips import square_folder
from tests.work.test_classified_collections import weights  # noqa: F401

CLASSIFY = (sys.executable, str(PACKAGE / "cli" / "classify.py"))
CLIPS, WORKERS, KILLS = 5000, 3, 20


@pytest.mark.slow
def test_killed_workers_leave_the_table_of_an_undisturbed_one(weights, tmp_path) -> None:  # noqa: F811
    made = sorted(square_folder(tmp_path / "made", clips_per_class=5).rglob("*.mp4"))
    (tmp_path / "clips").mkdir()
    for number in range(CLIPS):
        os.link(made[number % len(made)], tmp_path / "clips" / f"{number:04}.mp4")
    (tmp_path / "clips" / "0007.mp4").unlink()
    (tmp_path / "clips" / "0007.mp4").write_text("no video")

    def start(out: str, shard: str) -> subprocess.Popen:
        command = (*CLASSIFY, "--list", tmp_path / "clips", "--out", tmp_path / out)
        command += ("--weights", weights, "--device", "cpu", "--jobs", "1", "--shard", shard)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*map(str, command)], **quiet, start_new_session=True)

    assert start("calm", "0/1").wait() == 1  # one clip has failed
    rng = random.Random(time.time_ns())
    workers = [start("out", f"{n}/{WORKERS}") for n in range(WORKERS)]
    kills = 0
    while any(worker.poll() is None for worker in workers):
        time.sleep(rng.uniform(0.5, 6.0))
        victim = rng.randrange(WORKERS)
        if kills < KILLS and workers[victim].poll() is None:
            os.killpg(workers[victim].pid, signal.SIGKILL)
            workers[victim].wait()
            workers[victim] = start("out", f"{victim}/{WORKERS}")
            kills += 1
    print(f"{kills} workers were killed")
    assert kills >= 10, "the work was over before enough workers were killed"
    assert table(tmp_path, "out") == table(tmp_path, "calm")
    assert len(table(tmp_path, "out").splitlines()) == CLIPS + 1


def table(folder: Path, out: str) -> bytes:
    path = folder / f"{out}.csv"
    command = (*CLASSIFY, "--out", str(folder / out), "--merge", str(path))
    assert subprocess.run(command, check=False).returncode in (0, 1)
    return path.read_bytes()
