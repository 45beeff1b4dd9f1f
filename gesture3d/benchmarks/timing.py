"""Measuring sides in turn, on one thread of a shared machine or on a GPU."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


def kept_bytes(forward: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Memory that a forward pass keeps for the backward pass, its result included.

    Tensors that share memory count once; the input and the parameters do not count.
    """
    x = x.detach().requires_grad_()
    storages = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter):
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward(x)
    pack(result)
    storages.pop(x.untyped_storage().data_ptr(), None)
    return sum(storages.values())
