"""Data sets: `build_datasets` from settings to samples, `make_loader` from those to batches.

The way of a sample, the same for every stream:

1. `DataSet.read` lists the items of a set: keys, labels, groups, contents (an `Index`);
2. `read_index` chooses: classes, splits, exclusions, few shots (`subset`, `split`);
3. `DataSet.open` does what is done once: checks and decoding of clips, deviations of channels;
4. `Samples` makes an item into what the network is given, in training changed at random;
5. `make_loader` puts samples into batches, in the order of an `EpochSampler`.

Importing this package does not import torch; what needs it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gesture3d.data.index import Index
from gesture3d.data.sets import DataSet
from gesture3d.data.split import SPLITS, check_classes, folds, split
from gesture3d.data.subset import (
    excluded_keys,
    few_shots,
    numbered_as,
    only_classes,
    refuse_unknown,
    refuse_untrained,
    without,
)
from gesture3d.errors import Gesture3dError

if TYPE_CHECKING:
    import torch

    from gesture3d.data.batch import EpochSampler
    from gesture3d.data.samples import Samples
    from gesture3d.data.spec import InputSpec

EVERY = "all"  # samples of a set, whatever their split


@dataclass(frozen=True)
class Datasets:
    """The splits of a data set; ``validation`` or ``test`` is None where it has none.

    ``fingerprint`` maps each split to a short hash of its keys and labels.
    ``left_out`` are samples that cannot be read and may be left out: key → reason.
    """

    train: Samples
    validation: Samples | None
    test: Samples | None
    class_names: tuple[str, ...]
    fingerprint: dict[str, str]
    spec: InputSpec
    left_out: dict[str, str] = field(default_factory=dict)


def build_datasets(data: DataSet, seed: int, progress: bool = True) -> Datasets:
    """The samples that a data set's settings describe, generated and decoded where needed.

    Args:
        seed: of everything random about training samples.
        progress: show bars and say what is reused.

    Raises:
        Gesture3dError: missing or wrong data, in one line.
    """
    from gesture3d.data.samples import Samples

    listed = read_index(data, progress)
    opened = data.open(listed, progress)
    index = opened.index
    refuse_untrained(index, listed, "data.on_bad_clip=exclude")
    if not index.of("train"):
        raise Gesture3dError(f"{data.root}: the train split has no samples")
    check_classes(index, data)
    samples = {
        name: Samples(items, index.class_names, opened, name == "train", seed)
        for name in SPLITS
        if (items := index.of(name))
    }
    prints = {name: index.fingerprint(name) for name in samples}
    if data.validate_on_test:
        samples["validation"], prints["validation"] = samples["test"], prints["test"]
    return Datasets(
        samples["train"],
        samples.get("validation"),
        samples.get("test"),
        index.class_names,
        prints,
        _spec(data, samples["train"], index),
        opened.left_out,
    )


def build_tested(
    data: DataSet, name: str, class_names: Sequence[str], progress: bool = True
) -> tuple[Samples, InputSpec]:
    """A split of a set that a network is tested on, which need have nothing to train on.

    Args:
        name: train, validation or test; all: every sample, whatever its split.
        class_names: the network's; the set may have some of them, in any order.

    Raises:
        Gesture3dError: other classes; no such split.
    """
    from gesture3d.data.samples import Samples

    if name == EVERY:  # nothing is held out, so a class may have a single sample
        data = data.model_copy(update={"validation_share": 0.0, "test_share": 0.0})
    index = numbered_as(read_index(data, progress, trains=False), class_names, data)
    opened = data.open(index, progress)
    items = opened.index.items if name == EVERY else opened.index.of(name)
    if not items:
        hint = "" if name == EVERY else f"; every sample of it: --split {EVERY}"
        raise Gesture3dError(f"{data.root}: no {name} split{hint}")
    samples = Samples(items, index.class_names, opened, False, 0)
    return samples, _spec(data, samples, index)


def _spec(data: DataSet, samples: Samples, index: Index) -> InputSpec:
    """What the network is given; of sequences the first one says how many features a frame has."""
    features = None if data.kind == "clips" else next(samples.inputs).shape[1]
    return data.input_spec(features, index.channel_names)


def read_index(
    data: DataSet,
    progress: bool = True,
    missing_ok: Container[str] = (),
    trains: bool = True,
) -> Index:
    """The chosen items of a data set, each with its split.

    Args:
        missing_ok: keys of items that need not be on disk.
        trains: there must be items to train on.
    """
    excluded = excluded_keys(data)
    listed = data.read(progress, missing_ok or excluded)
    listed.check()
    refuse_unknown(excluded, listed)
    divided = split(only_classes(listed, data.classes), data, trains)
    index = without(divided, excluded)
    refuse_untrained(index, divided, "data.exclude")
    return data.present(few_shots(index, data.few_shot, data.subset_seed), missing_ok)


def count_folds(data: DataSet) -> int:
    """How many folds the data set has, as ``data.folds`` asks.

    Raises:
        Gesture3dError: it has none, or nothing to test.
    """
    found = folds(only_classes(data.read(), data.classes), data)
    if not (any(found) or data.test_groups or data.test_share):
        raise Gesture3dError(
            f"{data.root}: neither folds nor a test split are given with these samples; set "
            "data.folds=leave_one_group_out, or data.folds=k_fold and data.num_folds"
        )
    return len(found)


def make_loader(
    dataset: Samples,
    batch_sampler: EpochSampler,
    num_workers: int = 0,
    pin_memory: bool = False,
    in_order: bool = True,
) -> torch.utils.data.DataLoader:
    """A loader of `Batch`es in the sampler's order, the same for any number of workers.

    Args:
        in_order: else as they get ready: a slow read holds up its own batch, and those that its
            worker has yet to begin, and no others.
    """
    import cv2

    from gesture3d.data.loader import ClipLoader

    # Here, not in the workers: a forked process waits for ever for the threads that OpenCV had
    # before the fork.
    cv2.setNumThreads(1)
    options = {"pin_memory": pin_memory, "in_order": in_order}
    return ClipLoader(dataset, num_workers, batch_sampler=batch_sampler, **options)
