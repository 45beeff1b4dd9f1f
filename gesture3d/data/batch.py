"""Samples with identities, batches of them, and the order in which an epoch visits them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gesture3d.errors import Gesture3dError
from gesture3d.rng import generator

REPEAT = 1 << 20  # epochs between a sample's visits in one epoch
BUCKET_WINDOW = 16  # batches that are sorted by length together


@dataclass(frozen=True)
class Sample:
    """One clip or sequence under its stable key.

    ``inputs`` is uint8 (T, C, H, W) for clips (in memory: T, H, W, C), float32 (T, D) for
    sequences; ``label`` -1 where it is unknown; of a stream a label a frame, (T,) int64.
    """

    key: str
    inputs: Tensor
    label: int | np.ndarray


@dataclass(frozen=True)
class BrokenSample:
    """What stands in a sample's place when it cannot be read and may be left out."""

    key: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Samples stacked along a first axis B.

    ``inputs`` is uint8 (B, T, C, H, W), or (B, V, T, C, H, W) with V views of each clip to average
    over, or float32 (B, T, D), zeros behind a sequence's end; ``lengths`` (B,) int64 for
    sequences and streams, None for clips; ``labels`` (B,) int64, of streams (B, T), -1 behind a
    stream's end, where its last frame is repeated. ``broken`` are samples that were left out.
    """

    keys: list[str]
    inputs: Tensor
    lengths: Tensor | None
    labels: Tensor
    broken: tuple[BrokenSample, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """The batch on ``device``; lengths stay on the CPU, where packing wants them."""
        return Batch(
            self.keys,
            self.inputs.to(device, non_blocking=non_blocking),
            self.lengths,
            self.labels.to(device, non_blocking=non_blocking),
            self.broken,
        )

    def step_labels(self, step_frames: int) -> Tensor:
        """Of streams: the label of the newest frame of each whole step of a network, (B, S)."""
        return self.labels[:, step_frames - 1 :: step_frames]

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory (called by a loader with ``pin_memory=True``)."""
        inputs, labels = self.inputs.pin_memory(), self.labels.pin_memory()
        return Batch(self.keys, inputs, self.lengths, labels, self.broken)


def collate(samples: Sequence[Sample | BrokenSample]) -> Batch:
    """Stack clips; pad sequences with zeros to the longest and keep their lengths.

    Raises:
        Gesture3dError: clips of different shapes, sequences of different feature counts, or
            nothing but broken samples.
    """
    broken = tuple(sample for sample in samples if isinstance(sample, BrokenSample))
    samples = [sample for sample in samples if isinstance(sample, Sample)]
    if not samples:
        raise Gesture3dError(f"every clip of a batch is broken; the first: {broken[0].reason}")
    keys = [sample.key for sample in samples]
    if isinstance(samples[0].label, np.ndarray):
        return _collate_streams(samples, broken)
    labels = torch.tensor([sample.label for sample in samples], dtype=torch.int64)
    is_sequence = samples[0].inputs.ndim == 2
    first = samples[0].inputs.shape
    for sample in samples:
        shape = sample.inputs.shape
        if shape[is_sequence:] != first[is_sequence:]:
            raise Gesture3dError(
                f"{sample.key!r} of shape {tuple(shape)} cannot share a batch with "
                f"{keys[0]!r} of shape {tuple(first)}"
            )
    if not is_sequence:
        # Stacked in the order in memory, (..., H, W, C), which the network wants too.
        frames = torch.stack([sample.inputs.movedim(-3, -1) for sample in samples])
        return Batch(keys, frames.movedim(-1, -3), None, labels, broken)
    lengths = torch.tensor([len(sample.inputs) for sample in samples], dtype=torch.int64)
    inputs = torch.nn.utils.rnn.pad_sequence([s.inputs for s in samples], batch_first=True)
    return Batch(keys, inputs, lengths, labels, broken)


def _collate_streams(samples: list[Sample], broken: tuple[BrokenSample, ...]) -> Batch:
    """As long as the longest: the last frame of the others is repeated, without a label."""
    lengths = torch.tensor([len(sample.label) for sample in samples])
    longest = int(lengths.max())
    frames, labels = [], torch.full((len(samples), longest), -1)
    is_sequence = samples[0].inputs.ndim == 2
    for row, sample in enumerate(samples):
        rows = torch.arange(longest).clamp(max=len(sample.label) - 1)
        # Clips are stacked in the order in memory.
        values = sample.inputs if is_sequence else sample.inputs.movedim(-3, -1)
        frames.append(values[rows])
        labels[row, : len(sample.label)] = torch.from_numpy(sample.label)
    inputs = torch.stack(frames)
    inputs = inputs if is_sequence else inputs.movedim(-1, -3)
    return Batch([sample.key for sample in samples], inputs, lengths, labels, broken)


class EpochSampler:
    """Batches of ``(epoch, index)`` pairs; the order is a pure function of (seed, epoch).

    With several processes every process holds one sampler with its ``rank``. A *global* batch of
    ``world_size * batch_size`` samples holds the very samples of one process's batch of that
    size; each rank takes its share of it. Every sample is visited exactly once: the last,
    incomplete global batch is split as evenly as possible, and a rank left without samples in it
    yields one batch less. With ``drop_last`` that incomplete batch is left out instead, provided
    that there is a complete one.

    Args:
        shuffle: a new order every epoch, else the order of the data set.
        lengths: of the samples (steps of a sequence): batches then have similar lengths, with less
            padding. Which samples an epoch visits, and which are dropped, stays the same.
        balance: the labels of the samples: an epoch, as long as before, then visits every class
            equally often. Repeated visits of a sample are addressed as those of other epochs, so
            that they are other views of it.

    Raises:
        Gesture3dError: nothing to sample from.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        lengths: np.ndarray | None = None,
        balance: np.ndarray | None = None,
    ) -> None:
        if num_samples < 1:
            raise Gesture3dError("there are no samples to draw batches from")
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(f"batch_size {batch_size}, rank {rank} of {world_size}")
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.drop_last = drop_last
        self.lengths = lengths
        self.balance = balance
        self.epoch = 0
        self.first_batch = 0

    def set_position(self, epoch: int, first_batch: int = 0) -> None:
        """Make the next iteration begin with batch ``first_batch`` of ``epoch``.

        It is read when an iteration begins and is not advanced by iterating.
        """
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """This rank's batches in a whole epoch, wherever it starts."""
        complete, rest = divmod(self.num_samples, self.batch_size * self.world_size)
        if self.drop_last and complete:
            return complete
        return complete + (rest > self.rank)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, first_batch = self.epoch, self.first_batch
        order = np.arange(self.num_samples)
        if self.shuffle:
            order = generator(self.seed, epoch, "shuffle").permutation(self._visits(epoch))
        global_size = self.batch_size * self.world_size
        if self.lengths is not None:
            order = self._bucketed(order, global_size, epoch)
        for number in range(first_batch, len(self)):
            global_batch = order[number * global_size : (number + 1) * global_size]
            share = np.array_split(global_batch, self.world_size)[self.rank]
            repeats, indices = np.divmod(share, self.num_samples)
            yield [
                (epoch + int(repeat) * REPEAT, int(index))
                for repeat, index in zip(repeats, indices, strict=True)
            ]

    def _visits(self, epoch: int) -> np.ndarray:
        """The samples that an epoch visits; their second visit is ``num_samples`` further on."""
        if self.balance is None:
            return np.arange(self.num_samples)
        classes = np.unique(self.balance)
        rng = generator(self.seed, epoch, "balance")
        shares = np.full(len(classes), self.num_samples // len(classes))
        shares[rng.permutation(len(classes))[: self.num_samples % len(classes)]] += 1
        chosen = []
        for label, share in zip(classes, shares, strict=True):
            members = np.flatnonzero(self.balance == label)
            for repeat in range(-(-share // len(members))):
                few = min(len(members), share - repeat * len(members))
                chosen.append(rng.permutation(members)[:few] + repeat * self.num_samples)
        return np.concatenate(chosen)

    def _bucketed(self, order: np.ndarray, size: int, epoch: int) -> np.ndarray:
        """The order with complete batches of similar lengths: within windows of `BUCKET_WINDOW`
        batches samples are sorted by length, then all complete batches are put in a random order.

        The incomplete batch at the end keeps its samples, so dropping it drops the same ones.
        """
        complete = len(order) // size * size
        parts = []
        for start in range(0, complete, BUCKET_WINDOW * size):
            window = order[start : min(start + BUCKET_WINDOW * size, complete)]
            lengths = self.lengths[window % self.num_samples]
            parts.append(window[np.argsort(lengths, kind="stable")])
        batches = np.concatenate(parts).reshape(-1, size) if parts else order[:0].reshape(0, size)
        if self.shuffle:
            rng = generator(self.seed, epoch, "buckets")
            if self.world_size > 1:  # or the first rank would get the short ones
                batches = rng.permuted(batches, axis=1)
            batches = batches[rng.permutation(len(batches))]
        return np.concatenate([batches.ravel(), order[complete:]])
