import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the benchmark compares with ffmpeg")
def test_the_tool_measures_decoding_and_memory(tmp_path):
    command = [sys.executable, str(TOOL), "data", "--folder", str(tmp_path), "--clips", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for part, options in (("decoding", ["--rounds", "1"]), ("memory", ["--loads", "10"])):
        done = subprocess.run(
            [*command, "--part", part, *options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        if part == "decoding":
            assert done.stdout.count("ours / ffmpeg null") == 2
        else:
            assert done.stdout.count(",") == 10
