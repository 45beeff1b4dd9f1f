"""What a data set is: settings, and how its items are read.

A set is one file in a folder ``sets/`` of its stream, and is found there: a subclass of `DataSet`
whose fields are its settings, whose ``name`` is the file's, and which has to write `DataSet.read`.
All else (classes, few shots, exclusion, splits, folds) is the same for every set.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from gesture3d.settings import Fraction, Name, Place, PositiveInt, Section, Seed, Workers

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from gesture3d.data.batch import BrokenSample, Sample
    from gesture3d.data.index import Index, Item
    from gesture3d.data.spec import InputSpec

    # (item, generator of its random changes; None in evaluation) → what the network is given.
    ReadItem = Callable[[Item, np.random.Generator | None], Sample | BrokenSample]

STREAMS = ("video", "skeleton", "inertial")


class DataSet(Section):
    """The settings that every data set has; `DataSet.read` is what a set of its own has to write.

    Class attributes:
        stream: the folder of its stream.
        kind: ``clips`` or ``sequences``, which networks tell apart.
        input_settings: how samples are presented to a network: on another set as in training.
        training_settings: those that an evaluation does not use.
        num_official_folds: test parts that the set's protocol has.
        streams: whether samples are streams with events in them, a label a frame.
        spotted_by: the measure of events that the online decision makes greatest, see
            `gesture3d.inference.choosing`.
    """

    stream: ClassVar[str]
    kind: ClassVar[str] = "sequences"
    input_settings: ClassVar[frozenset[str]] = frozenset()
    training_settings: ClassVar[tuple[str, ...]] = ("augmentation", "balance")
    num_official_folds: ClassVar[int] = 1
    streams: ClassVar[bool] = False
    spotted_by: ClassVar[str] = "shrec22"

    classes: tuple[Name, ...] | None = None  # only these, in this order; None: all
    few_shot: PositiveInt | None = None  # training samples a class, None: all
    subset_seed: Seed = 0  # which samples few_shot takes; more shots include fewer shots
    # Samples to leave out by key: here, or in a file (a key a line; text behind a tab is ignored).
    exclude: tuple[Name, ...] = ()
    exclude_list: Place | None = None
    # What is tested: as the set gives it, each group in turn, or k folds of whole groups. none: as
    # if the set gave no split.
    folds: Literal["official", "leave_one_group_out", "k_fold", "none"] = "official"
    num_folds: Annotated[int, Field(ge=2, le=10_000)] = 5  # of k_fold
    fold: PositiveInt = 1
    # Groups (subjects, scenes) to hold out, where the set gives no such split; validation chooses
    # the best epoch ...
    validation_groups: tuple[Name, ...] = ()
    test_groups: tuple[Name, ...] = ()
    # ... or shares of each class, whole groups at a time.
    validation_share: Fraction = 0.0
    test_share: Fraction = 0.0
    seed: Seed = 0  # of a random split
    # Choose the best epoch on the test set, as some originals do. For comparisons only.
    validate_on_test: bool = False
    # Training visits every class equally often: samples of small classes several times an epoch, in
    # other views, and of large ones not all in each. An epoch stays as long as it is.
    balance: bool = False
    num_workers: Workers = 0  # processes that load batches

    @abstractmethod
    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        """All items of the set, in an order that does not change.

        Args:
            progress: show bars and say what is reused.
            missing_ok: keys of listed items that need not be there.

        Raises:
            Gesture3dError: missing or wrong files, in one line.
        """

    def present(self, index: Index, missing_ok: Container[str] = ()) -> Index:
        """The chosen items as the stream takes them (videos: real paths, optical flow)."""
        return index

    @abstractmethod
    def open(self, index: Index, progress: bool) -> Opened:
        """Everything that is done once (checks, decoding), and what makes samples of items."""

    @abstractmethod
    def input_spec(
        self, num_features: int | None = None, channel_names: tuple[str, ...] | None = None
    ) -> InputSpec:
        """What the network is given of one sample.

        Args:
            num_features: of a sequence's frame.
        """

    @property
    @abstractmethod
    def suffixes(self) -> frozenset[str]:
        """Of the files that `load` reads, with their dot."""

    def is_input(self, path: Path) -> bool:
        """Whether a file of these suffixes that is found in a folder is an input by its name."""
        return True

    def load(self, path: Path) -> Tensor:
        """The one sample of a file, as evaluation sees it; a stream of longer files has its own
        `cut` instead.

        Raises:
            Gesture3dError: the file is no usable sample.
        """
        raise NotImplementedError

    def cut(self, path: Path, spec: InputSpec) -> Cut:
        """A file as the network takes it: one sample, or as many as cover it.

        Args:
            spec: what the network was trained on.

        Raises:
            Gesture3dError: the file cannot be read, or does not fit the network.
        """
        inputs = self.load(path)
        spec.check(inputs, path)
        return Cut([inputs])

    @property
    def finds_hands(self) -> bool:
        """Whether the network is given the hands that are found in clips."""
        return False

    @property
    def title(self) -> str:
        """In reports; of clips with the modality."""
        return self.name

    @property
    def fits_inputs(self) -> bool:
        """Whether the network learns the statistics of its inputs from the training samples."""
        return True

    @property
    def may_lack_samples(self) -> bool:
        """Whether samples that cannot be read are left out."""
        return False

    @property
    def by_length(self) -> bool:
        """Whether training batches are of samples of similar lengths."""
        return False


@dataclass(frozen=True)
class Opened:
    """A set whose samples can be read.

    Attributes:
        index: without what was left out.
        read: what makes a sample of an item.
        length: how many frames an item's sample has, where they differ; None: all one.
        left_out: key → reason, of items that cannot be read and may be left out.
    """

    index: Index
    read: ReadItem
    length: Callable[[Item], int] | None = None
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """A file as a network takes it.

    Attributes:
        inputs: one or more, each as `InputSpec` describes it.
        spans: where the file may be longer than a sample: from when to when each input lasts
            (seconds), in order of time.
        signal: then, what the inputs were cut from, (T, D).
        rate_hz: of the signal.
    """

    inputs: list[Tensor]
    spans: list[tuple[float, float]] | None = None
    signal: np.ndarray | None = None
    rate_hz: float | None = None


@functools.cache
def find_sets() -> dict[str, type[DataSet]]:
    """Every data set by its name, from the folders ``data/*/sets/``."""
    found: dict[str, type[DataSet]] = {}
    for stream in STREAMS:
        package = importlib.import_module(f"gesture3d.data.{stream}.sets")
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            content = vars(importlib.import_module(f"{package.__name__}.{module}"))
            sets = [c for c in content.values() if _is_set(c, package.__name__, module)]
            found |= {set_name(one): one for one in sets}
    return found


def set_name(data_set: type[DataSet]) -> str:
    """The name by which configurations choose it."""
    return get_args(data_set.model_fields["name"].annotation)[0]


def _is_set(value: Any, package: str, module: str) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, DataSet)
        and "name" in value.model_fields
        and value.__module__ == f"{package}.{module}"
    )
