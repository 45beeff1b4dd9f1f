"""The loader that names what was left out, what is wrong with a sample, and what became of a
process that loads."""

import contextlib
import os
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from gesture3d.data.batch import Batch, BrokenSample, Sample, collate
from gesture3d.errors import Gesture3dError

SHARED_MEMORY = Path("/dev/shm")  # where Linux has it
# The locks of the queues between processes; batches that do not fit go through pipes.
LEAST_SHARED_MEMORY = 1 << 20


class ClipLoader(DataLoader):
    """A `DataLoader` of `Batch`es that names each broken sample once, when it is met.

    Workers live as long as the loader and use one thread each. Without room for them in the shared
    memory, samples are loaded in this process.

    Attributes:
        broken: key → reason of every sample that was left out so far.
    """

    def __init__(self, dataset: Any, num_workers: int = 0, **options: Any) -> None:
        if num_workers and _free(SHARED_MEMORY) < LEAST_SHARED_MEMORY:
            _say(f"{SHARED_MEMORY} is full: samples are loaded in this process, not in others")
            num_workers = 0
        super().__init__(
            _ErrorsAsValues(dataset),
            num_workers=num_workers,
            collate_fn=_collate,
            worker_init_fn=_start_worker,
            persistent_workers=num_workers > 0,
            prefetch_factor=4 if num_workers > 0 else None,
            **options,
        )
        self.broken: dict[str, str] = {}
        self._said_it_is_full = False

    def __iter__(self) -> Iterator[Batch]:
        batches = super().__iter__()
        while True:
            try:
                loaded = next(batches)
            except StopIteration:
                return
            except (EOFError, OSError) as error:  # as where one ends while it hands over a batch
                workers = {one.sentinel: one for one in getattr(batches, "_workers", ())}
                ended = [workers[sentinel] for sentinel in wait(workers, timeout=1.0)]
                if not ended:
                    raise
                with contextlib.suppress(RuntimeError):  # PyTorch's, wherever it learns of it
                    ended[0].join()
                raise RuntimeError(f"DataLoader worker (pid {ended[0].pid}) has ended") from error
            if isinstance(loaded, Gesture3dError):
                raise loaded
            yield self._opened(loaded)

    def _opened(self, loaded: Batch | bytes) -> Batch:
        if isinstance(loaded, bytes):
            if not self._said_it_is_full:
                _say(f"{SHARED_MEMORY} is full: batches come through pipes, which is slower")
            self._said_it_is_full = True
            loaded = pickle.loads(loaded)
        for sample in loaded.broken:
            if sample.key not in self.broken:
                self.broken[sample.key] = sample.reason
                _say(f"left out ({len(self.broken)} so far): {sample.reason}")
        return loaded


def explain_dead_worker(error: BaseException) -> str | None:
    """What PyTorch says when a worker has died, in our words; None where it is another error."""
    found = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) ([^.]*)", str(error))
    if not (found and isinstance(error, RuntimeError)):
        return None
    what = found[2].strip().removeprefix("is ")
    return f"process {found[1]}, which loads samples, {what}: perhaps memory ran out"


class _ErrorsAsValues(Dataset):
    """A data set whose errors of samples come out of it instead of being raised.

    PyTorch would raise what a worker raises as something else, with a traceback in its text.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: tuple[int, int]) -> Sample | BrokenSample | Gesture3dError:
        try:
            return self.dataset[position]
        except Gesture3dError as error:
            return error


def _collate(
    samples: Sequence[Sample | BrokenSample | Gesture3dError],
) -> Batch | bytes | Gesture3dError:
    """The batch; pickled where it does not fit into the shared memory; or the first error.

    A worker puts its batches into the shared memory here. Later, on the way into the queue, an
    error would be a batch that never comes.
    """
    errors = [sample for sample in samples if isinstance(sample, Gesture3dError)]
    try:
        if errors:
            raise errors[0]
        batch = collate(samples)
    except Gesture3dError as error:
        return error
    if get_worker_info() is None:
        return batch
    try:
        for tensor in filter(torch.is_tensor, (batch.inputs, batch.lengths, batch.labels)):
            tensor.share_memory_()
    except RuntimeError:
        return pickle.dumps(batch)
    return batch


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)


def _free(folder: Path) -> float:
    """Bytes that are free in a folder's file system; as many as you like where there is none."""
    if not (folder.is_dir() and hasattr(os, "statvfs")):
        return float("inf")
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _say(text: str) -> None:
    """To who listens: an epoch's work is worth more than that nobody does."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)
