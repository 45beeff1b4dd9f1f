"""The machine that a command runs on."""

import os


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_main_process() -> bool:
    """Whether this is the process that speaks and writes, of those that ran the same command."""
    return os.environ.get("RANK", "0") == "0"
