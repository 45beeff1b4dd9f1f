import shutil
import sys

import pytest

from gesture3d.benchmarks.cache import benchmark_cache
from gesture3d.files import PACKAGE
from tests.forked_runs import run_forked

TOOL = PACKAGE / "cli" / "benchmark.py"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the benchmark compares with ffmpeg")
def test_the_tool_measures_decoding_memory_and_lists(tmp_path):
    command = [sys.executable, str(TOOL), "data", "--folder", str(tmp_path), "--clips", "2"]
    printed = {"decoding": ("ours / ffmpeg null", 2), "memory": (",", 10), "lists": ("rows", 1)}
    options = {"decoding": ["--rounds", "1"], "memory": ["--loads", "10"], "lists": []}
    for part, (text, times) in printed.items():
        done = run_forked([*command, "--part", part, *options[part]])
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(text) == times


def test_a_cache_of_shards_is_measured_and_removed(tmp_path):
    found = benchmark_cache(tmp_path, num_clips=13, num_reads=40, shards=2)
    assert (found["clips"], found["shards"]) == (13, 2)
    assert found["MB of frames"] == pytest.approx(13 * 8 * 16 * 16 * 3 / 1e6)
    assert min(found["random reads/s from the disk"], found["random reads/s from memory"]) > 0
    assert not list(tmp_path.iterdir())
