"""Measuring sides in turn, on one thread of a shared machine or on a GPU."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Seconds = dict[str, list[float]]


class Clock:
    """Seconds that work on ``device`` takes.

    On a CPU with one thread: that thread's processor time, so that other work on the machine does
    not count (it still takes caches and memory bandwidth away). With more threads: the time of day.
    On a GPU: between two events on its stream, after it has become idle.
    """

    def __init__(self, device: torch.device):
        self.device = device
        one_thread = torch.get_num_threads() == 1
        self._now = time.thread_time if one_thread else time.perf_counter

    def __call__(self, run: Callable[[], object]) -> float:
        if self.device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(self.device)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize(self.device)
            return start.elapsed_time(end) / 1000
        started = self._now()
        run()
        return self._now() - started


def interleave(sides: dict[str, Callable], clock: Clock, seconds: float) -> Seconds:
    """Run all sides in turn, after one run each to warm up, for about ``seconds``: 2 to 20 rounds.

    Whatever else the machine does then slows all sides alike: compare them round by round.
    """
    expected = sum(clock(run) for run in sides.values())
    rounds = max(2, min(20, int(seconds / expected)))
    times: Seconds = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            times[name].append(clock(run))
    return times


def milliseconds(seconds: list[float]) -> float:
    return 1000 * statistics.median(seconds)


def ratio(times: Seconds, name: str, reference: str) -> float:
    """How many times faster ``name`` is than ``reference``: the median over the rounds."""
    return statistics.median(b / a for a, b in zip(times[name], times[reference], strict=True))


class OperationTimes(TorchDispatchMode):
    """While active, the seconds of every operation by its name, forward and backward alike."""

    def __init__(self, clock: Clock):
        super().__init__()
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = []
        self.seconds[operation.overloadpacket.__name__] += self.clock(
            lambda: result.append(operation(*args, **(kwargs or {})))
        )
        return result[0]


class NewStorages(TorchDispatchMode):
    """Follows the memory that operations allocate while it is active, without keeping it alive."""

    def __init__(self):
        super().__init__()
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        for tensor in _tensors((args, kwargs)):  # views of what was there before are no new memory
            self._see(tensor, 0)
        result = operation(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._see(tensor, tensor.untyped_storage().nbytes())
        return result

    def _see(self, tensor: Tensor, num_bytes: int) -> None:
        storage = tensor.untyped_storage()
        self._known.setdefault(storage._cdata, (StorageWeakRef(storage), num_bytes))

    def alive(self) -> int:
        """Bytes of what has been allocated and is still in use."""
        return sum(size for reference, size in self._known.values() if not reference.expired())


def kept_bytes(forward: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Memory that a forward pass keeps for the backward pass, its result included."""
    x = x.detach().requires_grad_(x.is_floating_point())
    with NewStorages() as storages:
        result = forward(x)
    alive = storages.alive()
    del result
    return alive


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
