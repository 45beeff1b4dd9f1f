"""What any data set is before a sample of it is made: its classes, and items under stable keys."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gesture3d.errors import Gesture3dError
from gesture3d.events import Event

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Item:
    """One sample: a clip, a sequence of joints, a window of a recording.

    Attributes:
        key: unique in its data set, and never changes.
        label: the number of the class, -1 where it is withheld.
        content: the file (a video, a folder of frames, a name inside a zip), or what was in it:
            joints (T, J, C), a window (T, D), float32.
        group: what must never spread over splits (a performer, a scene), where it is known.
        split: train, validation or test, as the set itself gives it; "" where it does not. Behind
            `gesture3d.data.split.split`: as it is used.
        num_frames: how many frames the set's list promises, if it does.
        where: the file, for messages.
        events: of a stream: what is in it, in order; its label is -1. None: the item is of one
            class.
        rate_hz: of a stream: the frames a second of its content.
    """

    key: str
    label: int
    content: Path | np.ndarray = field(repr=False)
    group: str | None = None
    split: str = ""
    num_frames: int | None = None
    where: str = ""
    events: tuple[Event, ...] | None = field(default=None, repr=False)
    rate_hz: float | None = None

    @property
    def path(self) -> Path:
        """The content, where it is a file."""
        return self.content

    @property
    def place(self) -> str:
        """For messages."""
        return self.where or self.key


@dataclass(frozen=True)
class Index:
    """What a data set is: its classes and items.

    Attributes:
        items: in an order that does not change; behind `split`, by splits.
        folds: the keys of each official test part, where the protocol has several, or one.
        shared_groups: the official split has items of one group on both sides.
        mirror: each class whose meaning changes in a mirror, and the class that it becomes; None
            where the set does not declare it, and then nothing may be flipped.
        reversal: the same for items that are played backwards.
        channel_names: of a frame's values, where they have names.
    """

    class_names: tuple[str, ...]
    items: list[Item] = field(repr=False)
    folds: list[frozenset[str]] = field(default_factory=list, repr=False)
    shared_groups: bool = False
    mirror: dict[str, str] | None = None
    reversal: dict[str, str] | None = None
    channel_names: tuple[str, ...] | None = None

    @property
    def splits(self) -> dict[str, list[Item]]:
        """The items of each split."""
        return {split: self.of(split) for split in SPLITS}

    def of(self, split: str) -> list[Item]:
        """The items of a split, in order."""
        return [item for item in self.items if item.split == split]

    def check(self) -> None:
        """Raise Gesture3dError where two items have one key, or a label is of no class."""
        counts = Counter(item.key for item in self.items)
        if len(counts) < len(self.items):
            key = counts.most_common(1)[0][0]
            raise Gesture3dError(f"there are two samples with the key {key!r}: rename one")
        for item in self.items:
            if not -1 <= item.label < len(self.class_names):
                raise Gesture3dError(
                    f"{item.place}: label {item.label}; the {len(self.class_names)} classes are 0 "
                    f"to {len(self.class_names) - 1}"
                )

    def fingerprint(self, split: str) -> str:
        """A short hash of a split's keys and classes, whatever their order."""
        names = [*self.class_names, "?"]  # label -1
        return fingerprint(
            (item.key, names[item.label], *(item.events or ())) for item in self.of(split)
        )

    def with_real_paths(self) -> "Index":
        """The same items, their files' folders without links and relative parts.

        Raises:
            Gesture3dError: two items are one file by two paths.
        """
        real = RealPaths()
        files: dict[Path, str] = {}
        for item in self.items:
            other = files.setdefault(real.file(item.path), item.key)
            if other != item.key:
                raise Gesture3dError(
                    f"the clips {other!r} and {item.key!r} are one file, {real.file(item.path)}: "
                    "leave one out (data.exclude)"
                )
        return replace(self, items=[replace(i, content=real(i.path)) for i in self.items])


def refuse_same_files(paths: Iterable[Path]) -> None:
    """Raises Gesture3dError: two of the paths lead to one file."""
    real = RealPaths()
    files: dict[Path, Path] = {}
    for path in paths:
        other = files.setdefault(real.file(path), path)
        if other != path:
            raise Gesture3dError(f"{other} and {path} are one file: remove one of them")


class RealPaths:
    """``real(path)``: the path, its folders without links and relative parts, each looked up once.

    The last name stays as it is (a link may have another suffix than its file), and so does what
    lies behind a file (a name inside a zip file).
    """

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def __call__(self, path: Path) -> Path:
        folder = path.parent
        if folder not in self._folders:
            is_folder = os.path.isdir(folder) or folder == path  # noqa: PTH112
            self._folders[folder] = Path(os.path.realpath(folder)) if is_folder else self(folder)
        return self._folders[folder] / path.name

    def file(self, path: Path) -> Path:
        """The file itself, where the path is a link."""
        path = self(path)
        return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114


def fingerprint(rows: Iterable[tuple]) -> str:
    """16 hexadecimal digits that depend on the rows' contents and not on their order."""
    lines = sorted("\x1f".join(map(str, row)) for row in rows)
    return hashlib.blake2b(
        "\n".join(lines).encode(errors="surrogateescape"), digest_size=8
    ).hexdigest()
