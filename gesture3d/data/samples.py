"""The samples of one split of any data set, as PyTorch's loaders take them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from gesture3d.data.batch import BrokenSample, Sample
from gesture3d.data.index import Item
from gesture3d.data.sets import Opened
from gesture3d.rng import generator

if TYPE_CHECKING:
    from gesture3d.data.sets import ReadItem


class Samples(Dataset):
    """``samples[epoch, index]`` → `Sample`; a plain ``samples[index]`` is epoch 0.

    Stateless: what happens to a sample in training is drawn from ``generator(seed, epoch, key)``.
    One that cannot be read raises, or is a `BrokenSample`; it is never replaced by another.

    Attributes:
        items, keys: in order.
        labels: (N,) int64, -1 where unknown.
        lengths: (N,) int64, frames without random changes; None where all samples have one length.
        class_names: the names of the labels.
        training: whether samples are changed at random.
        read: what makes a sample of an item.
    """

    def __init__(
        self,
        items: list[Item],
        class_names: tuple[str, ...],
        opened: Opened,
        training: bool,
        seed: int,
    ) -> None:
        self.items = items
        self.keys = [item.key for item in items]
        self.labels = np.array([item.label for item in items], dtype=np.int64)
        self.class_names = tuple(class_names)
        self.training = training
        self.seed = seed
        self.read = opened.read
        length = opened.length
        self.lengths = np.array([length(item) for item in items]) if length else None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: tuple[int, int] | int) -> Sample | BrokenSample:
        epoch, index = position if isinstance(position, tuple) else (0, position)
        item = self.items[index]
        rng = generator(self.seed, epoch, item.key) if self.training else None
        return self.read(item, rng)

    def read_by(self, read: ReadItem) -> Samples:
        """The same items, made into samples otherwise."""
        other = copy.copy(self)
        other.read = read
        return other

    def taken(self, rows: Sequence[int]) -> Samples:
        """Only the items of these numbers, in this order."""
        other = copy.copy(self)
        other.items = [self.items[row] for row in rows]
        other.keys = [item.key for item in other.items]
        other.labels = self.labels[rows]
        other.lengths = None if self.lengths is None else self.lengths[rows]
        return other

    @property
    def inputs(self) -> Iterator[Tensor]:
        """Every sample's, without random changes."""
        return (self.read(item, None).inputs for item in self.items)
