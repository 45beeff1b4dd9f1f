"""Anyone's sequences of values, whatever they measure: a folder per class, a CSV that lists them,
or the files of the UCR and UEA archives.

    root/<class>/<sequence>.npy (.npz, .csv)       (T,) or (T, D): a row a step
    root/NAME_TRAIN.ts, NAME_TEST.ts (or .arff)    the split is theirs

They go the way of skeletons, as (T, D, 1): D "joints" of one coordinate. What needs joints in space
is refused.
"""

from collections.abc import Container
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from gesture3d.data.csv_text import csv_rows
from gesture3d.data.index import Index, Item
from gesture3d.data.listing import ListedSet, read_listing
from gesture3d.data.numeric import is_number, numpy_array, read_named, shown
from gesture3d.data.skeleton.stream import SkeletonData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Fraction, Place

PLAIN_SUFFIXES = (".npy", ".npz", ".csv")
ARCHIVE_SUFFIXES = (".ts", ".arff")
MAX_STEPS, MAX_CHANNELS = 1_000_000, 10_000
# What turns, moves or chains joints in space.
FOR_JOINTS = ("centre", "centre_joint", "scale_joints")
FOR_JOINTS_IN_TRAINING = ("rotation_degrees", "translation", "joint_dropout")


class SequenceFolderData(ListedSet, SkeletonData):
    """Anyone's sequences: ``root/<class>/<sequence>.npy`` (.npz, .csv), or a CSV that lists them,
    or ``.ts`` and ``.arff`` of the UCR and UEA archives.

    Values that are missing (NaN; in text also ``?`` and empty cells) are interpolated.
    """

    name: Literal["sequence_folder"]
    root: Place = Path("data/sequences")  # a folder, or one .ts or .arff file
    max_gap: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = 10  # missing steps; None: any
    test_share: Fraction = 0.2

    @model_validator(mode="after")
    def _nothing_for_joints(self) -> "SequenceFolderData":
        for section, names, prefix in (
            (self, FOR_JOINTS, ""),
            (self.augmentation, FOR_JOINTS_IN_TRAINING, "augmentation."),
        ):
            for name in names:
                if getattr(section, name) != type(section).model_fields[name].default:
                    raise ValueError(f"{prefix}{name} needs joints in space; leave it out")
        return self

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        files = [] if self.csv else self._archive_files()
        if files:
            return self._read_archive(files)
        return read_listing(self, PLAIN_SUFFIXES, self.joints_of, progress)

    def present(self, index: Index, missing_ok: object = ()) -> Index:
        """Raises Gesture3dError: sequences of different numbers of values."""
        first = index.items[0]
        for item in index.items:
            if item.content.shape[1] != first.content.shape[1]:
                raise Gesture3dError(
                    f"{item.place}: {item.content.shape[1]} values a step, but {first.place} has "
                    f"{first.content.shape[1]}"
                )
        return index

    @property
    def suffixes(self) -> frozenset[str]:
        return frozenset(PLAIN_SUFFIXES)

    def joints_of(self, path: Path) -> np.ndarray:
        """A file's values, float32 (T, D, 1)."""
        content = read_named(path, PLAIN_SUFFIXES)
        is_text = path.suffix.lower() == ".csv"
        values = _table(content, str(path)) if is_text else numpy_array(content, str(path))
        return self._filled(values, str(path))

    def _filled(self, values: np.ndarray, where: str) -> np.ndarray:
        """Raises Gesture3dError: another shape, too many values, or a gap that is too long."""
        from gesture3d.data.series import interpolate_missing

        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or 0 in values.shape:
            raise Gesture3dError(
                f"{where}: shape {values.shape}; expected (steps,) or (steps, values)"
            )
        if len(values) > MAX_STEPS or values.shape[1] > MAX_CHANNELS:
            raise Gesture3dError(
                f"{where}: {len(values):,} steps of {values.shape[1]:,} values; at most "
                f"{MAX_STEPS:,} of {MAX_CHANNELS:,}"
            )
        filled = interpolate_missing(values.astype(np.float64), self.max_gap, where)
        return filled.astype(np.float32)[:, :, None]

    # --- the archives' files ---------------------------------------------------------------------

    def _archive_files(self) -> list[tuple[Path, str]]:
        """(file, split); none where the sequences are files of their own."""
        root = self.root
        if root.is_file():
            others = _with_its_test(root)
            return others or [(root, "")]
        problems = {
            path.stem[: -len("_TRAIN")]: path
            for suffix in reversed(ARCHIVE_SUFFIXES)  # .ts where there are both
            for path in sorted(root.glob(f"*_TRAIN{suffix}"))
        }
        if not problems:
            return []
        if len(problems) > 1 and root.name not in problems:
            raise Gesture3dError(
                f"{root}: several sets, {', '.join(sorted(problems)[:10])}: set data.root to one "
                f"of their files, for example {min(problems.values())}"
            )
        return _with_its_test(problems.get(root.name) or next(iter(problems.values())))

    def _read_archive(self, files: list[tuple[Path, str]]) -> Index:
        from gesture3d.data.series import read_arff, read_ts

        rows = []
        for path, split in files:
            content = read_named(path, ARCHIVE_SUFFIXES)
            read = read_ts if path.suffix.lower() == ".ts" else read_arff
            found = read(content, str(path))
            for label, values, line in zip(found.labels, found.sequences, found.lines, strict=True):
                where = f"{path}, line {line}"
                key = f"{path.stem}:{line}"
                rows.append(
                    (key, found.class_names[label], self._filled(values, where), split, where)
                )
        names = tuple(sorted({name for _, name, *_ in rows}))
        items = [
            Item(key, names.index(name), values, None, split, where=where)
            for key, name, values, split, where in rows
        ]
        return Index(names, items)


def _with_its_test(path: Path) -> list[tuple[Path, str]]:
    """NAME_TRAIN and NAME_TEST of either; none where the file is no such."""
    for mine in ("_TRAIN", "_TEST"):
        if path.stem.endswith(mine):
            name = path.stem.removesuffix(mine)
            both = [path.with_name(f"{name}{end}{path.suffix}") for end in ("_TRAIN", "_TEST")]
            for other in both:
                if not other.is_file():
                    raise Gesture3dError(f"{other}: no such file; it belongs to {path.name}")
            return list(zip(both, ("train", "test"), strict=True))
    return []


def _table(content: bytes, where: str) -> np.ndarray:
    """Rows of numbers, perhaps below a line of column names; float64 (T, D)."""
    rows: list[list[float]] = []
    for line, cells in csv_rows(content, where, skip_blank=True):
        try:
            rows.append([_number(cell) for cell in cells])
        except ValueError as error:
            if line == 1 and not any(map(is_number, cells)):
                continue  # column names
            raise Gesture3dError(
                f"{where}, line {line}: {shown(str(error))} is no number"
            ) from None
        if len(rows) > MAX_STEPS:
            raise Gesture3dError(f"{where}: more than {MAX_STEPS:,} steps")
    return np.array(rows)


def _number(cell: str) -> float:
    cell = cell.strip()
    try:
        return float("nan") if cell in ("", "?") else float(cell)
    except ValueError:
        raise ValueError(cell) from None
