"""The networks in low precision on lesser processors, which the environment emulates."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FILES = ("test_conv3d", "test_gesture_net", "test_convlstm", "test_convlstm_sequence")
TESTS = "low_precision or memory_is_whole or autocast"
# What each set is the most of: machines that have the feature behind it can emulate it.
NEXT_FEATURE = {
    "AVX2": "_is_avx512_supported",
    "AVX512_CORE": "_is_avx512_bf16_supported",
    "AVX512_CORE_BF16": "_is_amx_tile_supported",
}


@pytest.mark.parametrize("instruction_set", NEXT_FEATURE)
def test_low_precision_is_right_on_lesser_processors(instruction_set):
    if not getattr(torch.cpu, NEXT_FEATURE[instruction_set], bool)():
        pytest.skip(f"this processor has no more than {instruction_set}: the other tests are it")
    files = [str(Path(__file__).with_name(f"{name}.py")) for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-o", "addopts=", "--noconftest"]  # without the checks of shapes: all starts sooner
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instruction_set, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [*command, *files, "-k", TESTS],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-1000:]
    assert "[100%]" in found.stdout
