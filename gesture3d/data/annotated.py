"""Anyone's streams: files, and the events in them as one CSV (path, label, start, end), or one for
each split."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from gesture3d.data.index import SPLITS, Index, Item
from gesture3d.data.streams import stream_classes
from gesture3d.errors import Gesture3dError, naming
from gesture3d.events import check_within, read_annotations


def annotation_lists(root: Path, csv: Path | None = None) -> dict[Path, str]:
    """File of annotations → the split of its streams, or "": ``csv`` (relative to here or to
    ``root``), else ``root/annotations.csv``, or ``train.csv``, ``validation.csv``, ``test.csv``.

    Raises:
        Gesture3dError: both of these are there.
    """
    if csv:
        return {csv if csv.is_file() else root / csv: ""}
    given = {root / f"{split}.csv": split for split in SPLITS}
    given = {path: split for path, split in given.items() if path.is_file()}
    alone = root / "annotations.csv"
    if alone.is_file() and given:
        raise Gesture3dError(f"{alone} and {next(iter(given))}: take one of them, or data.csv")
    return given or {alone: ""}


def read_annotated(
    lists: Mapping[Path, str], root: Path, read: Callable[[Path], np.ndarray], rate_hz: float
) -> Index:
    """The streams that these files name; a path is relative to its file, or to ``root``.

    Args:
        read: the content of a file, (T, …), ``rate_hz`` steps a second.

    Raises:
        Gesture3dError: a file that is missing or cannot be read, an event behind its stream's end.
    """
    items = []
    for path, split in lists.items():
        for name, events in read_annotations(path).items():
            where = f"{path}: {name}"
            places = (folder / name for folder in (path.parent, root))
            file = next((p for p in places if os.path.isfile(p)), None)  # noqa: PTH113 (any name)
            if file is None:
                raise Gesture3dError(f"{where}: no such file there or in {root}")
            with naming(path):
                content = read(file)
            events = check_within(events, len(content) / rate_hz, where, clip=2 / rate_hz)
            key = Path(name).as_posix()
            known = {"split": split, "where": str(file), "rate_hz": rate_hz}
            items.append(Item(key, -1, content, events=tuple(events), **known))
    labels = sorted({event.label for item in items for event in item.events})
    return Index(stream_classes(labels), items)
