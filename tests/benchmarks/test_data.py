import os
import shutil
import subprocess
import sys

import pytest

from gesture3d.files import PACKAGE

TOOL = PACKAGE / "cli" / "benchmark.py"


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the benchmark compares with ffmpeg")
def test_the_tool_measures_decoding_memory_and_lists(tmp_path):
    command = [sys.executable, str(TOOL), "data", "--folder", str(tmp_path), "--clips", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    printed = {"decoding": ("ours / ffmpeg null", 2), "memory": (",", 10), "lists": ("rows", 1)}
    options = {"decoding": ["--rounds", "1"], "memory": ["--loads", "10"], "lists": []}
    for part, (text, times) in printed.items():
        done = subprocess.run(
            [*command, "--part", part, *options[part]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(text) == times
