import shutil
import sys

import pytest

from gesture3d.files import PACKAGE
from tests.forked_runs import run_forked

TOOL = PACKAGE / "cli" / "benchmark.py"


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the benchmark compares with ffmpeg")
def test_the_tool_measures_decoding_memory_and_lists(tmp_path):
    command = [sys.executable, str(TOOL), "data", "--folder", str(tmp_path), "--clips", "2"]
    printed = {"decoding": ("ours / ffmpeg null", 2), "memory": (",", 10), "lists": ("rows", 1)}
    options = {"decoding": ["--rounds", "1"], "memory": ["--loads", "10"], "lists": []}
    for part, (text, times) in printed.items():
        done = run_forked([*command, "--part", part, *options[part]])
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(text) == times
