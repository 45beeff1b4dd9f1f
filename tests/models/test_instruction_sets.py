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
# oneDNN looks at the environment at its first use: until then forks of one process will do.
PROGRAM = """if True:
    import os, sys
    import hypothesis, pytest, torch
    import gesture3d.benchmarks.timing, gesture3d.models.gesture_net
    sets, *arguments = sys.argv[1:]
    for instruction_set in sets.split():
        child = os.fork()
        if not child:
            os.environ["ONEDNN_MAX_CPU_ISA"] = instruction_set
            code = pytest.main(arguments)
            sys.stdout.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"SET {instruction_set} {code}", flush=True)
"""


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[int, str]]:
    """By instruction set: the exit code of the tests, and what they printed."""
    sets = [name for name in NEXT_FEATURE if has_more_than(name)]
    files = [str(Path(__file__).with_name(f"{name}.py")) for name in FILES]
    # Without the checks of shapes: all starts sooner.
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "--noconftest"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, " ".join(sets), *options, *files, "-k", TESTS],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    found, said = {}, []
    for line in done.stdout.splitlines():
        said.append(line)
        if line.startswith("SET "):
            _, name, code = line.split()
            found[name], said = (int(code), "\n".join(said)), []
    assert list(found) == sets, done.stderr[-1000:]
    return found


def has_more_than(instruction_set: str) -> bool:
    return getattr(torch.cpu, NEXT_FEATURE[instruction_set], bool)()


@pytest.mark.parametrize("instruction_set", NEXT_FEATURE)
def test_low_precision_is_right_on_lesser_processors(instruction_set, request):
    if not has_more_than(instruction_set):
        pytest.skip(f"this processor has no more than {instruction_set}: the other tests are it")
    code, said = request.getfixturevalue("found")[instruction_set]
    assert code == 0, said[-4000:]
    assert "[100%]" in said
