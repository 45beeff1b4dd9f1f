"""Windows of inertial measurements as a PyTorch data set, and how they are split."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from gesture3d.config import InertialData
from gesture3d.data.batch import Sample
from gesture3d.data.index import refuse_double_keys
from gesture3d.data.inertial.transforms import augment
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.rng import generator


@dataclass(frozen=True)
class Windows:
    """Windows with what is known about each, before they are split.

    Attributes:
        inputs: float32 (N, T, D), in physical units.
        keys, labels (N,) int64, subjects, splits (``train``, ``validation`` or ``test``): one each.
        channel_names: of the columns of a CSV; None where the data set's format fixes them.
    """

    inputs: np.ndarray
    keys: list[str]
    labels: np.ndarray
    subjects: list[str]
    splits: list[str]
    class_names: tuple[str, ...]
    channel_names: tuple[str, ...] | None = None

    def take(self, rows: Iterable[int]) -> "Windows":
        rows = list(rows)
        return replace(
            self,
            inputs=self.inputs[rows],
            keys=[self.keys[r] for r in rows],
            labels=self.labels[rows],
            subjects=[self.subjects[r] for r in rows],
            splits=[self.splits[r] for r in rows],
        )


def split_windows(windows: Windows, config: InertialData) -> dict[str, Windows]:
    """``train`` and, where there are any, ``validation`` and ``test``.

    Subjects named in ``validation_subjects`` leave the training split; with ``validate_on_test``
    the validation split is the test split.

    Raises:
        Gesture3dError: a subject that the training split has not, subjects beside a validation
            split that is given, no training windows, or a class without any.
    """
    splits = list(windows.splits)
    known = sorted(
        {s for s, split in zip(windows.subjects, splits, strict=True) if split != "test"}
    )
    if config.validation_subjects and "validation" in splits:
        raise Gesture3dError("data.validation_subjects: the data comes with a validation split")
    for subject in config.validation_subjects:
        if subject not in known:
            raise Gesture3dError(
                f"data.validation_subjects: no training windows of subject {subject!r}; there are "
                f"{', '.join(known)}.{did_you_mean(subject, known)}"
            )
    if config.validation_subjects:
        for row, (subject, split) in enumerate(zip(windows.subjects, splits, strict=True)):
            if split != "test":
                held_out = subject in config.validation_subjects
                splits[row] = "validation" if held_out else "train"
    rows = {name: [r for r, s in enumerate(splits) if s == name] for name in sorted(set(splits))}
    if not rows.get("train"):
        raise Gesture3dError(f"{config.root}: no training windows are left")
    found = {name: windows.take(r) for name, r in rows.items()}
    for name, part in found.items():
        for label in sorted(set(part.labels.tolist()) - set(found["train"].labels.tolist())):
            missing = windows.class_names[label]
            raise Gesture3dError(f"{config.root}: class {missing!r} is in {name} but not in train")
    if config.validate_on_test:
        if "test" not in found:
            raise Gesture3dError("data.validate_on_test: there is no test split")
        found["validation"] = found["test"]
    return found


class InertialDataset(Dataset):
    """``dataset[epoch, index]`` → `Sample` with ``inputs`` float32 (T, D) in physical units.

    Changes of training windows are drawn from ``generator(seed, epoch, key)``. A plain
    ``dataset[index]`` is epoch 0.

    Attributes:
        inputs: (N, T, D), unchanged; keys; labels: (N,) int64; class_names.

    Raises:
        Gesture3dError: rotations are asked for, and the channels are no vectors of three.
    """

    def __init__(self, windows: Windows, config: InertialData, training: bool, seed: int) -> None:
        self.inputs = torch.from_numpy(windows.inputs)
        self.keys, self.labels = windows.keys, windows.labels
        self.class_names = windows.class_names
        self.config, self.seed = config.augmentation, seed
        self.training = training and config.augmentation != type(config.augmentation)()
        self.deviations = windows.inputs.std((0, 1), dtype=np.float64)
        if training and self.config.rotation_degrees and windows.inputs.shape[2] % 3:
            raise Gesture3dError(
                f"data.augmentation.rotation_degrees turns vectors of three channels; the data has "
                f"{windows.inputs.shape[2]} channels"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: tuple[int, int] | int) -> Sample:
        epoch, index = position if isinstance(position, tuple) else (0, position)
        key, window = self.keys[index], self.inputs[index]
        if self.training:
            rng = generator(self.seed, epoch, key)
            changed = augment(window.numpy(), self.config, self.deviations, rng)
            window = torch.from_numpy(np.ascontiguousarray(changed, dtype=np.float32))
        return Sample(key, window, int(self.labels[index]))


def read_windows(config: InertialData) -> Windows:
    """All windows of a data set, filtered and cut as its config says."""
    from gesture3d.data.inertial.sets.hapt import read_hapt
    from gesture3d.data.inertial.sets.inertial_folder import read_inertial_folder
    from gesture3d.data.inertial.sets.opportunity import read_opportunity
    from gesture3d.data.inertial.sets.uci_har import read_uci_har
    from gesture3d.data.inertial.sets.utd_mhad_inertial import read_utd_inertial

    readers = {
        "hapt": read_hapt,
        "uci_har": read_uci_har,
        "opportunity": read_opportunity,
        "utd_mhad_inertial": read_utd_inertial,
        "inertial_folder": read_inertial_folder,
    }
    windows = readers[config.name](config)
    refuse_double_keys(windows.keys)
    return windows
