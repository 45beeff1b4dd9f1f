"""Workers on a collection of large clips, where decoding dominates: `tools/classify.py --list`.

A worker is two processes, one that decodes and one with the network: alone on two cores it uses
more than one. Whether a second worker brings as much as the first, one worker on one core tells.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gesture3d.benchmarks.data import make_clips
from gesture3d.benchmarks.tables import Row
from gesture3d.errors import Gesture3dError
from gesture3d.files import PACKAGE, child_environment

KIND = ("H.264 1280x720", 1280, 720, ("-c:v", "libx264", "-pix_fmt", "yuv420p"), "mp4")
DIFFERENT, BLOCK = 4, 8  # clips
SETTINGS = ((1, 1), (1, 2), (2, 2))  # workers, cores


def workers(folder: Path, count: int, rounds: int, weights: Path | None = None) -> list[Row]:
    """Clips a second, by the time of day: in between, where all workers are at work, and in all.

    Args:
        folder: for clips.
        count: of clips in the collection; at least 64.

    Raises:
        Gesture3dError: fewer than two cores or 64 clips, no ffmpeg, the tool fails.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2 or count < 8 * BLOCK:
        raise Gesture3dError(f"workers are compared on two cores and {8 * BLOCK} clips or more")
    clips = make_clips(folder, *KIND, DIFFERENT)
    found: dict[tuple[int, int], list[tuple[float, float]]] = {key: [] for key in SETTINGS}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        listed = Path(place) / "clips"
        listed.mkdir()
        for number in range(count):
            os.link(clips[number % DIFFERENT].path, listed / f"{number:05}.mp4")
        for _ in range(rounds):
            for jobs, num_cores in SETTINGS:
                out = Path(place) / "out"
                rates = _rates(listed, out, jobs, cores[:num_cores], weights)
                found[jobs, num_cores].append(rates)
                shutil.rmtree(out)
    rows = []
    for (jobs, num_cores), rates in found.items():
        row: Row = {"workers": str(jobs), "cores": str(num_cores)}
        row["clips/s"], row["clips/s, start and end included"] = map(
            statistics.median, zip(*rates, strict=True)
        )
        for other in SETTINGS[:2]:
            pairs = zip(rates, found[other], strict=True)
            ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in pairs)
            row[f"against one on {other[1]}"] = ratio
        rows.append(row)
    return rows


def _rates(
    listed: Path, out: Path, jobs: int, cores: list[int], weights: Path | None
) -> tuple[float, float]:
    command = [sys.executable, str(PACKAGE / "cli" / "classify.py"), "--list", str(listed)]
    command += ["--out", str(out), "--jobs", str(jobs), "--block", str(BLOCK), "--device", "cpu"]
    command += ["--weights", str(weights)] if weights else []
    started = time.perf_counter()
    run = subprocess.run(
        command,
        env=child_environment(),
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        capture_output=True,
        text=True,
    )
    whole = time.perf_counter() - started
    if run.returncode:
        raise Gesture3dError(f"classify.py: {run.stderr.strip().splitlines()[-1]}")
    lines = [path.open().readline() for path in (out / "blocks").iterdir()]
    blocks = sorted(map(json.loads, lines), key=lambda about: about["ended"])
    first, last = blocks[jobs], blocks[-1 - jobs]
    clips = sum(about["clips"] for about in blocks[jobs + 1 : -jobs])
    return clips / (last["ended"] - first["ended"]), sum(b["clips"] for b in blocks) / whole
