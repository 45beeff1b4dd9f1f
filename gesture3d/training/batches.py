"""The batches of a run: which samples of a split each process gets, and in which order."""

import contextlib
from collections.abc import Iterator

from torch.utils.data import DataLoader

from gesture3d.config import Experiment
from gesture3d.data import make_loader
from gesture3d.data.batch import Batch, EpochSampler
from gesture3d.data.samples import Samples
from gesture3d.distributed import Processes
from gesture3d.errors import Gesture3dError


def training_loader(split: Samples, experiment: Experiment, processes: Processes) -> DataLoader:
    """This process's share of every shuffled batch of the training split.

    Raises:
        Gesture3dError: the processes cannot have equal shares.
    """
    batch_size, world_size = experiment.train.batch_size, processes.world_size
    if batch_size % world_size:
        raise Gesture3dError(
            f"train.batch_size {batch_size} is the total over all processes; it must be a "
            f"multiple of their number, {world_size}"
        )
    if len(split) < world_size:
        raise Gesture3dError(
            f"{len(split)} training samples are fewer than {world_size} processes: start fewer"
        )
    sampler = EpochSampler(
        num_samples=len(split),
        batch_size=batch_size // world_size,
        seed=experiment.train.seed,
        shuffle=True,
        rank=processes.rank,
        world_size=world_size,
        drop_last=True,
        lengths=split.lengths if experiment.data.by_length else None,
        balance=split.labels if experiment.data.balance else None,
    )
    return _loader(split, sampler, experiment, processes, in_order=experiment.train.in_order)


def evaluation_loader(
    split: Samples, experiment: Experiment, processes: Processes, *, whole: bool = False
) -> DataLoader:
    """A split in its own order: this process's share, or the ``whole`` of it."""
    sampler = EpochSampler(
        num_samples=len(split),
        batch_size=experiment.train.eval_batch_size,
        seed=experiment.train.seed,
        shuffle=False,
        rank=0 if whole else processes.rank,
        world_size=1 if whole else processes.world_size,
    )
    return _loader(split, sampler, experiment, processes)


def _loader(
    split: Samples,
    sampler: EpochSampler,
    experiment: Experiment,
    processes: Processes,
    in_order: bool = True,
) -> DataLoader:
    return make_loader(
        split,
        sampler,
        num_workers=experiment.data.num_workers,
        pin_memory=processes.device.type == "cuda",
        in_order=in_order,
    )


@contextlib.contextmanager
def batch_norm_in_words(batch: Batch) -> Iterator[None]:
    """Batch norm's own error where a channel has one value, as what to change."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise Gesture3dError(
            f"a batch of {len(batch.keys)} of shape {tuple(batch.inputs.shape[1:])} leaves the "
            "last layers one value a channel, which batch norm cannot normalise in training; "
            "raise train.batch_size (or the size or frames of a sample)"
        ) from error
