import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from gesture3d.machine import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    for _ in range(20):
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
