"""The machine that a command runs on."""

import os
import sys
from pathlib import Path


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> int | None:
    """Bytes that this process has had in memory at most, shared file cache included; None where
    the system does not tell (Windows).

    Linux is asked itself: a process's own ``ru_maxrss`` begins with that of its parent there.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def is_main_process() -> bool:
    """Whether this is the process that speaks and writes, of those that ran the same command."""
    return os.environ.get("RANK", "0") == "0"
