"""The machine that a command runs on."""

import ctypes
import errno
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup")
CGROUP_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # version 2, version 1
# What libraries that have no exception of their own for it say.
_OUT_OF_MEMORY = (
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory"),
    *("insufficient memory", "outofmemoryerror", "bad_alloc", "_alloc_failed"),
)
# What oneDNN, PyTorch's library of convolutions, may be capped to by the environment.
WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE")
WITHOUT_BF16 += ("AVX512_CORE_VNNI",)
WITHOUT_AMX = (*WITHOUT_BF16, "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def num_cores() -> int:
    """The cores that this process may use, or as many as its container has the time of."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    limits = (_container_cores(), num_threads_allowed())
    return min([cores, *(max(limit, 1) for limit in limits if limit is not None)])


def leave_cores(count: int) -> None:
    """Let PyTorch compute on all cores but ``count``, on one at least: its threads spin while they
    wait, on the cores of whoever works beside them."""
    import torch

    torch.set_num_threads(max(min(torch.get_num_threads(), num_cores() - count), 1))


def _container_cores() -> int | None:
    """Of ``docker run --cpus=2`` 2; version 1 of the kernel's control groups has two files."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((CGROUP / name).read_text() for name in names).split()
            return -(-int(quota) // int(period)) if int(quota) > 0 else None
        except (OSError, ValueError, ZeroDivisionError):  # "max", or no such limits here
            continue
    return None


def num_threads_allowed() -> int | None:
    """By ``OMP_THREAD_LIMIT``: oneDNN would wait for ever for more."""
    text = os.environ.get("OMP_THREAD_LIMIT", "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def total_memory() -> int:
    """Bytes of memory that this machine has, or that its container may use."""
    limits = (CGROUP / name for name in CGROUP_LIMITS)
    texts = [path.read_text().strip() for path in limits if path.is_file()]
    try:
        of_machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        of_machine = 8 << 30
    return min([of_machine, *(int(text) for text in texts if text.isdigit())])


def may_have_gpu() -> bool:
    """False where PyTorch, which takes seconds to load, need not be asked: no driver is there."""
    names = ("nvidiactl", "nvhost-gpu", "nvmap", "dxg", "kfd")  # NVIDIA's, Jetson's, WSL's, AMD's
    return sys.platform != "linux" or any(Path("/dev", name).exists() for name in names)


def choose_device(name: str) -> "torch.device":
    """``cpu``, ``cuda``, or ``auto``: a GPU where there is one.

    Raises:
        Gesture3dError: there is no GPU, or no such kind of device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise Gesture3dError(f"device {name!r}: must be cpu or cuda")
    if name != "cpu" and not torch.cuda.is_available():
        raise Gesture3dError("device cuda: PyTorch finds no GPU here; use the device cpu")
    return torch.device(name)


def has_amx() -> bool:
    """Whether convolutions on this CPU use AMX: it has it, and ``ONEDNN_MAX_CPU_ISA`` allows it."""
    import torch

    supported = getattr(torch.cpu, "_is_amx_tile_supported", lambda: True)  # else: to be safe
    return _largest_instruction_set() not in WITHOUT_AMX and supported()


def has_bf16() -> bool:
    """Whether convolutions on this CPU compute in bf16, rather than emulate it."""
    import torch

    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    native = any(getattr(torch.cpu, name, bool)() for name in names)
    return native and _largest_instruction_set() not in WITHOUT_BF16


def has_native_bf16(device: "torch.device") -> bool:
    """Whether a device computes in bf16."""
    import torch

    on_gpu = device.type == "cuda"
    return torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else has_bf16()


def instruction_set() -> str:
    """What convolutions on this CPU compute with, in oneDNN's words: ``AVX2``, ``AVX512_CORE``,
    ``AVX512_CORE_BF16``, ``AVX512_CORE_AMX``, or ``other``."""
    import torch

    if has_amx():
        return "AVX512_CORE_AMX"
    if has_bf16():
        return "AVX512_CORE_BF16"
    largest = _largest_instruction_set()
    if largest in ("SSE41", "AVX"):
        return "other"
    avx512 = getattr(torch.cpu, "_is_avx512_supported", bool)()
    if avx512 and not largest.startswith("AVX2"):
        return "AVX512_CORE"
    return "AVX2" if getattr(torch.cpu, "_is_avx2_supported", bool)() else "other"


def processor(gpu: bool = False) -> str:
    """What computes here, in words: a GPU's name, or the CPU's with its `instruction_set`."""
    import torch

    if gpu:
        return torch.cuda.get_device_name()
    found = Path("/proc/cpuinfo")
    lines = found.read_text(errors="replace").splitlines() if found.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = (names or [platform.processor() or platform.machine()])[0]
    return f"{name}, {instruction_set()}"


def _largest_instruction_set() -> str:
    names = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # the second: its name before
    return next((os.environ[name].upper() for name in names if name in os.environ), "DEFAULT")


def autocast(device: "torch.device", precision: str) -> "torch.autocast":
    """bf16 where it is asked for, or where the processor computes in it natively (``auto``)."""
    import torch

    if precision == "auto":
        precision = "bf16" if has_native_bf16(device) else "fp32"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


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


def keep_freed_memory() -> None:
    """Let this process keep what it frees for what it allocates next.

    glibc gives large blocks back to the system at once, and getting them anew, page by page, costs
    a training step on a CPU several per cent of its time. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)  # no block of any size of its own
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy, OpenCV, torch (on a CPU or a GPU) or the system ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    return isinstance(error, Exception) and any(sign in text for sign in _OUT_OF_MEMORY)


def is_main_process() -> bool:
    """Whether this is the process that speaks and writes, of those that ran the same command."""
    return os.environ.get("RANK", "0") == "0"
