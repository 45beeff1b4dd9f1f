"""What a process knows of the others that train with it; alone, it is rank 0 of 1.

Several GPUs or machines are ``torchrun``'s business. On a CPU, `companions` starts the other
processes itself: small networks train about twice as fast in two processes of one thread, which
meet once a step, as in one process of two threads, which meet in every operation.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from gesture3d.errors import Gesture3dError
from gesture3d.machine import choose_device, num_cores

REASON = "why a process ended"  # its key in the store that the processes share


@dataclass(frozen=True)
class Processes:
    """Rank, number of processes and device of this one."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in all of them."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in order of rank, in all of them."""
        if self.world_size == 1:
            return [value]
        values = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.sum(torch.tensor(int(flag), device=self.device)) > 0)

    def main_first(self, make: Callable[[], Any]) -> Any:
        """``make()`` in the main process, which prepares files, then in the others to use them."""
        for turn in (True, False):
            if self.is_main == turn:
                made = make()
            self.gather(None)
        return made

    def parallel(self, module: nn.Module, *, sync_batch_norm: bool = False) -> nn.Module:
        """The module whose gradients are the mean over all processes.

        Args:
            sync_batch_norm: its batch norms take the statistics of all processes' samples.
        """
        if self.world_size == 1:
            return module
        if sync_batch_norm:
            group = dist.new_group()  # beside the gradients' messages, not between them
            for norm in module.modules():
                if type(norm) in _SHARED:
                    norm.__class__, norm.group = _SHARED[type(norm)], group
        # Depthwise kernels' gradients have other strides for the same order in memory.
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        with warnings.catch_warnings():
            # `broadcast_buffers` has another name from torch 2.15 on.
            warnings.simplefilter("ignore", FutureWarning)
            # Running statistics are shared before each evaluation, not at every step.
            return DistributedDataParallel(module, broadcast_buffers=False)

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the main one's buffers (running statistics of the norms)."""
        if self.world_size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)


class _Sum(torch.autograd.Function):
    """The sum over all processes, in all of them."""

    @staticmethod
    def forward(context: Any, values: Tensor, group: Any) -> Tensor:
        context.group = group
        total = values.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=context.group)
        return total, None


class _SharedStatistics:
    """A batch norm in training whose mean and variance are those of all processes' samples.

    PyTorch's own is for GPUs alone.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        values = inputs.float()
        over = [0, *range(2, inputs.ndim)]
        shape = [1, -1] + [1] * (inputs.ndim - 2)
        count = inputs.new_tensor([inputs.numel() / inputs.shape[1]], dtype=torch.float32)
        sums = _Sum.apply(torch.cat([values.sum(over), count]), self.group)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(over), self.group) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(inputs.dtype)


class _Shared1d(_SharedStatistics, nn.BatchNorm1d):
    pass


class _Shared2d(_SharedStatistics, nn.BatchNorm2d):
    pass


class _Shared3d(_SharedStatistics, nn.BatchNorm3d):
    pass


_SHARED = {nn.BatchNorm1d: _Shared1d, nn.BatchNorm2d: _Shared2d, nn.BatchNorm3d: _Shared3d}


def choose_num_processes(device: str, batch_size: int, wanted: int | None) -> int:
    """How many processes to train in: as wanted; else on a CPU one a core, at most 4, such that
    each gets the same share of a batch and 4 samples at least; on a GPU one.
    """
    if wanted is not None:
        return wanted
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        return 1
    fitting = (n for n in range(min(num_cores(), 4), 1, -1) if batch_size % n == 0)
    return next((n for n in fitting if batch_size // n >= 4), 1)


@contextlib.contextmanager
def companions(count: int) -> Iterator[None]:
    """Run this very command in ``count`` processes, this one being the main one.

    The others start when the block begins and never outlive it. Does nothing under ``torchrun``.
    """
    if count <= 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, *sys.argv]
    others = []
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def end_with_parent() -> None:  # however the parent ends
        # Ctrl-C is the main process's business, which would wait for ever for one that is gone.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if libc:
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    for rank in range(1, count):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        environment = os.environ | shared | own
        others.append(subprocess.Popen(command, env=environment, preexec_fn=end_with_parent))
    os.environ.update(shared, RANK="0", LOCAL_RANK="0")
    try:
        yield
    except BaseException as error:
        ended = [other.poll() for other in others]
        for other in others:
            other.kill()
        if isinstance(error, RuntimeError) and any(code is not None for code in ended):
            raise Gesture3dError(
                f"one of the {count} processes of this run ended by itself (exit codes {ended}); "
                "try again with --resume, or with --set train.processes=1"
            ) from error
        raise
    finally:
        for other in others:
            other.wait()


@contextlib.contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, for the length of the block."""
    use_cuda = choose_device(device).type == "cuda"
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if use_cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    here = torch.device("cuda", torch.cuda.current_device()) if use_cuda else torch.device("cpu")
    if world_size == 1:
        yield Processes(0, 1, here)
        return
    # The others wait while the main process prepares the data, which may take hours.
    hours = timedelta(hours=12)
    store, rank, _ = next(rendezvous("env://", timeout=hours))
    backend = "nccl" if use_cuda else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=hours)
    try:
        yield Processes(rank, world_size, here)
    except Gesture3dError as error:
        if rank:
            with contextlib.suppress(RuntimeError):  # the main process has gone: it had its own
                store.set(REASON, str(error))
        raise  # with the connection open: the others are to be ended before they miss it
    except RuntimeError as error:  # another process is missed: it may have said why it ended
        reason = None
        with contextlib.suppress(RuntimeError):
            reason = store.check([REASON]) and store.get(REASON).decode()
        if reason:
            raise Gesture3dError(reason) from error
        dist.destroy_process_group()
        raise
    except BaseException:
        dist.destroy_process_group()
        raise
    dist.barrier()  # nobody hangs up while another is still speaking
    dist.destroy_process_group()
