"""Skeleton sequences as PyTorch data sets: files → joints (T, J, C) → features (T, D)."""

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gesture3d.config import SkeletonData
from gesture3d.data.batch import Sample
from gesture3d.data.index import fingerprint
from gesture3d.data.numeric import is_count
from gesture3d.data.skeleton.files import check_joints, read_joints
from gesture3d.data.skeleton.transforms import features
from gesture3d.data.split import SPLITS
from gesture3d.errors import Gesture3dError, did_you_mean, naming
from gesture3d.rng import generator


@dataclass(frozen=True, slots=True)
class Sequence:
    """One recorded gesture.

    ``joints`` is float32 (T, J, C) in the data's units; ``key``, ``label`` and ``group`` are as in
    `gesture3d.data.index.Clip`; ``source`` is the file, for messages.
    """

    key: str
    joints: np.ndarray = field(repr=False)
    label: int
    group: str | None = None
    source: str = ""


@dataclass(frozen=True)
class SkeletonIndex:
    """A set of sequences, before it is split.

    ``official_folds`` holds the keys of each official test part; ``given`` maps keys to the split
    that the data set itself gives them, where it does. Sequences without a place there are for
    training.
    """

    class_names: tuple[str, ...]
    sequences: list[Sequence] = field(repr=False)
    official_folds: list[frozenset[str]] = field(default_factory=list, repr=False)
    given: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raise Gesture3dError for values, shapes, labels or keys that cannot be right."""
        if not self.sequences:
            raise Gesture3dError("the data set has no sequences")
        seen: dict[str, str] = {}
        first = self.sequences[0]
        for sequence in self.sequences:
            check_joints(sequence.joints, sequence.source or sequence.key)
            where, shape = sequence.source or sequence.key, sequence.joints.shape[1:]
            if shape != first.joints.shape[1:]:
                raise Gesture3dError(
                    f"{where}: {shape[0]} joints of {shape[1]} coordinates, but "
                    f"{first.source or first.key} has {first.joints.shape[1]} of "
                    f"{first.joints.shape[2]}"
                )
            if not 0 <= sequence.label < len(self.class_names):
                raise Gesture3dError(
                    f"{where}: label {sequence.label}; the {len(self.class_names)} classes are 0 "
                    f"to {len(self.class_names) - 1}"
                )
            if sequence.key in seen:
                raise Gesture3dError(
                    f"{where}: the same key {sequence.key!r} as {seen[sequence.key]}"
                )
            seen[sequence.key] = where


# --- splits --------------------------------------------------------------------------------------


def held_out_folds(index: SkeletonIndex, config: SkeletonData) -> list[frozenset[str]]:
    """The keys of each fold's test part, as ``config.folds`` asks.

    Raises:
        Gesture3dError: no official folds, no groups, or fewer groups than folds.
    """
    if config.folds == "official":
        tested = frozenset(key for key, split in index.given.items() if split == "test")
        return index.official_folds or [tested]
    groups = sorted({s.group for s in index.sequences if s.group is not None}, key=_natural)
    ungrouped = [s.source or s.key for s in index.sequences if s.group is None]
    if ungrouped:
        raise Gesture3dError(f"data.folds={config.folds}: {ungrouped[0]} belongs to no group")
    if config.folds == "leave_one_group_out":
        parts = [[group] for group in groups]
    else:
        if len(groups) < config.num_folds:
            raise Gesture3dError(
                f"data.num_folds {config.num_folds}: there are only {len(groups)} groups"
            )
        groups.sort(key=lambda group: fingerprint([(config.seed, group)]))
        parts = [groups[start :: config.num_folds] for start in range(config.num_folds)]
    return [frozenset(s.key for s in index.sequences if s.group in part) for part in parts]


def split_sequences(index: SkeletonIndex, config: SkeletonData) -> dict[str, list[Sequence]]:
    """Train, validation and test of fold ``config.fold`` (validation and test may be empty).

    Raises:
        Gesture3dError: no such fold or group, or a class without training sequences.
    """
    folds = held_out_folds(index, config)
    if config.fold > len(folds):
        raise Gesture3dError(f"data.fold {config.fold}: there are folds 1 to {len(folds)}")
    tested = folds[config.fold - 1]
    groups = {s.group for s in index.sequences if s.group is not None and s.key not in tested}
    for name in config.validation_groups:
        if name not in groups:
            hint = did_you_mean(name, groups)
            raise Gesture3dError(
                f"data.validation_groups: no group {name!r} in the training part; it has "
                f"{', '.join(sorted(groups, key=_natural)) or 'none'}.{hint}"
            )
    splits: dict[str, list[Sequence]] = {split: [] for split in SPLITS}
    for sequence in index.sequences:
        split = index.given.get(sequence.key, "train") if config.folds == "official" else "train"
        if sequence.key in tested:
            split = "test"
        elif sequence.group in config.validation_groups:
            split = "validation"
        splits[split].append(sequence)
    trained = {s.label for s in splits["train"]}
    for label, name in enumerate(index.class_names):
        if label not in trained:
            raise Gesture3dError(
                f"{config.root}: class {name!r} has no sequences to train on in fold {config.fold}"
            )
    return splits


def _natural(text: str) -> tuple:
    return (0, int(text), "") if is_count(text) else (1, 0, text)


# --- data sets -----------------------------------------------------------------------------------


class SkeletonDataset(Dataset):
    """Sequences, ready for a network: ``dataset[epoch, index]`` → `Sample` with (T, D) features.

    Stateless: what happens to a sequence in training is drawn from ``generator(seed, epoch, key)``.
    A plain ``dataset[index]`` is epoch 0.

    Attributes:
        keys: the sequences' keys.
        labels: (N,) int64.
        lengths: (N,) int64: their frames, without augmentation.
        class_names: the names of the labels.
    """

    def __init__(
        self,
        sequences: Seq[Sequence],
        class_names: tuple[str, ...],
        data: SkeletonData,
        training: bool,
        seed: int,
    ) -> None:
        self.sequences = list(sequences)
        self.class_names = tuple(class_names)
        self.data = data
        self.training = training
        self.seed = seed
        self.keys = [s.key for s in self.sequences]
        self.labels = np.array([s.label for s in self.sequences], dtype=np.int64)
        self.lengths = np.array([data.num_frames or len(s.joints) for s in self.sequences])

    @property
    def inputs(self) -> Iterator[Tensor]:
        """Every sequence (T, D) without augmentation."""
        return (self._features(sequence) for sequence in self.sequences)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, position: tuple[int, int] | int) -> Sample:
        epoch, index = position if isinstance(position, tuple) else (0, position)
        sequence = self.sequences[index]
        rng = generator(self.seed, epoch, sequence.key) if self.training else None
        return Sample(sequence.key, self._features(sequence, rng), sequence.label)

    def _features(self, sequence: Sequence, rng: np.random.Generator | None = None) -> Tensor:
        with naming(sequence.source or sequence.key):
            return torch.from_numpy(features(sequence.joints, self.data, rng))


def load_skeleton(path: Path, data: SkeletonData) -> Tensor:
    """A file's sequence as evaluation sees it: float32 (T, D).

    Raises:
        Gesture3dError: the file is no usable sequence; names the frame where that is known.
    """
    joints = read_joints(path, data)
    with naming(path):
        return torch.from_numpy(features(joints, data))
