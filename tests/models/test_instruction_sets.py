"""The networks in low precision on lesser processors, which the environment emulates."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.models.test_conv3d import guarded

FILES = ("test_conv3d", "test_gesture_net", "test_convlstm", "test_convlstm_sequence")
TESTS = "low_precision or memory_is_whole or autocast"
# What each set is the most of: machines that have the feature behind it can emulate it.
NEXT_FEATURE = {
    "AVX2": "_is_avx512_supported",
    "AVX512_CORE": "_is_avx512_bf16_supported",
    "AVX512_CORE_BF16": "_is_amx_tile_supported",
}


@pytest.mark.parametrize(
    "instruction_set",
    ["AVX2", *(pytest.param(name, marks=pytest.mark.slow) for name in list(NEXT_FEATURE)[1:])],
)
def test_low_precision_is_right_on_lesser_processors(instruction_set) -> None:
    if not getattr(torch.cpu, NEXT_FEATURE[instruction_set], bool)():
        pytest.skip(f"this processor has no more than {instruction_set}: the other tests are it")
    files = [str(Path(__file__).with_name(f"{name}.py")) for name in FILES]
    # Without the checks of shapes and other plug-ins: all starts sooner.
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "--noconftest"]
    environment = guarded() | {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": instruction_set}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files, "-k", TESTS],
        env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "[100%]" in done.stdout
