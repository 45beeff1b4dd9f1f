"""What a process knows of the others that ``torchrun`` started; alone, it is rank 0 of 1."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


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

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the main one's buffers (running statistics of the norms)."""
        if self.world_size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)


@contextlib.contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, for the length of the block."""
    use_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if use_cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    here = torch.device("cuda", torch.cuda.current_device()) if use_cuda else torch.device("cpu")
    if world_size == 1:
        yield Processes(0, 1, here)
        return
    dist.init_process_group("nccl" if use_cuda else "gloo")
    try:
        yield Processes(dist.get_rank(), world_size, here)
    finally:
        dist.destroy_process_group()
