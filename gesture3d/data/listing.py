"""Anyone's samples, a file or folder each, in every stream: a folder per class, or a CSV.

    root/<class>/<sample>                             split here, by `gesture3d.data.split`
    root/{train,validation,test}/<class>/<sample>     split by the folders (val, valid, ... as well)
    samples.csv                                       path,label[,split][,group][,frames]

What else lies in the folders is left out, and counted. A CSV may have semicolons or tabs in the
commas' place.
"""

import os
from collections.abc import Callable, Collection, Container, Iterator
from pathlib import Path
from typing import Any, NoReturn

from gesture3d.data.csv_text import column_places, csv_rows
from gesture3d.data.index import Index, Item, RealPaths, refuse_same_files
from gesture3d.data.numeric import read_named
from gesture3d.data.sets import DataSet
from gesture3d.data.split import SPLIT_NAMES, SPLITS
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.settings import Name, Place
from gesture3d.text import one_line

FindSamples = Callable[[Path, Any], list[Path]]  # of a class' folder, with the `Walk`


class ListedSet(DataSet):
    """The settings of sets that are listed by folders or in a CSV."""

    csv: Place | None = None  # relative to here or to root; its paths, to itself or to root
    path_column: str = "path"
    label_column: str = "label"
    split_column: str = "split"  # train, validation or test
    group_column: str = "group"  # samples of one group stay in one split
    frames_column: str = "frames"  # how many frames a clip has, which is then checked
    ignore_columns: tuple[Name, ...] = ()


def read_listing(
    data: ListedSet,
    find: Collection[str] | FindSamples,
    content_of: Callable[[Path], Any],
    progress: bool = True,
    missing_ok: Container[str] = (),
    go_on: bool = False,
) -> Index:
    """The samples of a folder or CSV, with the splits that they are given there.

    Args:
        find: the suffixes of a class' files, or what finds its samples.
        content_of: path → an item's content.
        missing_ok: keys of listed samples that need not be there.
        progress: say what is left out.
        go_on: where a folder cannot be read.

    Raises:
        Gesture3dError: anything missing, unknown, double or left without samples, with its place.
    """
    rows = list(
        _csv_rows(data, missing_ok) if data.csv else _rows_below(data, find, progress, go_on)
    )
    if content_of is not Path:  # of files, `Index.with_real_paths` does, behind data.exclude
        refuse_same_files(row.path for row, _ in rows)
    if not rows:
        raise Gesture3dError(f"{data.csv or data.root}: no samples in it")
    names = tuple(sorted({name for _, name in rows}))
    labels = {name: number for number, name in enumerate(names)}
    items = [
        Item(
            row.key,
            labels[name],
            content_of(row.path),
            row.group,
            row.split,
            row.num_frames,
            row.where,
        )
        for row, name in rows
    ]
    return Index(names, items)


def class_folders(root: Path, walk: Any) -> Iterator[tuple[str, Path]]:
    """(split, folder of a class): of ``root/<split>/<class>``, else of ``root/<class>``, split "".

    Raises:
        Gesture3dError: two folders are of one split, or others lie beside those of splits.
    """
    files, folders = walk.enter(root)
    walk.leave_out(files)
    split_of = {folder: SPLIT_NAMES.get(folder.name.casefold(), "") for folder in folders}
    if others := [folder for folder in folders if not split_of[folder]]:
        if {"train", ""} < set(split_of.values()):
            named = ", ".join(folder.name for folder in folders if split_of[folder])
            refuse_layout(others[0], root, f", and nothing beside {named}")
        yield from (("", folder) for folder in folders)
        return
    for number, folder in enumerate(folders):
        for other in folders[:number]:
            if split_of[other] == split_of[folder]:
                both = f"{other.name} and {folder.name}"
                raise Gesture3dError(f"{root}: the folders {both} are both of one split")
        files, classes = walk.enter(folder)
        walk.leave_out(files)
        yield from ((split_of[folder], class_folder) for class_folder in classes)


def _rows_below(
    data: ListedSet, find: Collection[str] | FindSamples, progress: bool, go_on: bool
) -> Iterator[tuple[Item, str]]:
    """Items with their paths as content, and their classes."""
    from gesture3d.data.walk import Walk

    root = data.root
    if not root.is_dir():
        raise Gesture3dError(
            f"no folder {root}: put samples into {root}/<class>/, set data.root to where they are, "
            "or list them in a CSV (data.csv) with columns path,label"
        )
    walk, any_found = Walk(), False
    for split, class_folder in class_folders(root, walk):
        if callable(find):
            paths = find(class_folder, walk)
        else:
            paths = _files(root, class_folder, find, walk)
        for path in paths:
            any_found = True
            key = path.relative_to(root).as_posix()
            yield Item(key, -1, path, None, split, None, str(path)), class_folder.name
    if not any_found and not walk.problems:
        kinds = "" if callable(find) else f", of {', '.join(find)} files"
        left_out = f" ({walk.left_out()})" if walk.left_out() else ""
        raise Gesture3dError(
            f"{root}: no samples in it{left_out}; expected {expected_layout(root)}{kinds}, or set "
            "data.root"
        )
    walk.report(progress, go_on=go_on)


def expected_layout(root: Path) -> str:
    """How samples lie in folders."""
    return f"{root}/<class>/<clip> or {root}/{{train,validation,test}}/<class>/<clip>"


def _files(root: Path, class_folder: Path, suffixes: Collection[str], walk: Any) -> list[Path]:
    if walk.has_entered(class_folder):
        raise Gesture3dError(f"{class_folder}: a link to a folder that is another class")
    files, folders = walk.enter(class_folder)
    for folder in folders:
        if inside := walk.files_below(folder, suffixes):
            refuse_layout(inside[0], root)
    walk.leave_out(path for path in files if path.suffix.lower() not in suffixes)
    return [path for path in files if path.suffix.lower() in suffixes]


def refuse_layout(found: Path, root: Path, samples: str = "") -> NoReturn:
    """Raise Gesture3dError: a sample, or a folder of them, lies where none is expected."""
    raise Gesture3dError(
        f"found {found}, expected {expected_layout(root)}{samples}: move the folders, or list the "
        "clips in a CSV (data.csv) with columns path,label"
    )


# --- a CSV ---------------------------------------------------------------------------------------


def _csv_rows(data: ListedSet, missing_ok: Container[str]) -> Iterator[tuple[Item, str]]:
    """As `_rows_below`, of ``data.csv``, checked; every path exists but those of ``missing_ok``."""
    path = data.csv if data.csv.is_file() else data.root / data.csv
    if not path.is_file():
        raise Gesture3dError(f"data.csv: no file {data.csv}, neither here nor in {data.root}")
    seen: dict[str, int] = {}
    files: dict[Path, int] = {}
    real = RealPaths()
    missing: list[str] = []
    for number, record in _records(path, data):
        where = f"{path}:{number}"
        name, label = record[data.path_column], record[data.label_column]
        if not name or not label:
            raise Gesture3dError(f"{where}: empty path or label")
        key = Path(os.path.normpath(name.replace("\\", "/"))).as_posix()
        if key in seen:
            raise Gesture3dError(f"{where}: {name} is listed already in line {seen[key]}")
        seen[key] = number
        given = record.get(data.split_column, "")
        split = SPLIT_NAMES.get(given.casefold(), "")
        if data.split_column in record and not split:
            allowed = ", ".join(SPLITS)
            raise Gesture3dError(f"{where}: split {given!r} is none of {allowed}")
        group = record.get(data.group_column) or None
        if data.group_column in record and group is None:
            raise Gesture3dError(f"{where}: empty group")
        places = (folder / key for folder in (path.parent, data.root))
        sample = next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110
        if sample is None and key not in missing_ok:
            missing.append(f"{key} (line {number})")
            continue
        first = files.setdefault(real.file(sample or data.root / key), number)
        if first != number:
            raise Gesture3dError(
                f"{where}: {name} is listed already in line {first}, by another path"
            )
        frames = record.get(data.frames_column, "")
        if frames and not (frames.isdecimal() and len(frames) < 10):
            raise Gesture3dError(f"{where}: {data.frames_column} {frames!r} is no whole number")
        num_frames = int(frames) if frames else None
        yield Item(key, -1, sample or data.root / key, group, split, num_frames, where), label
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise Gesture3dError(f"{path}: {len(missing)} of {len(seen)} samples do not exist: {first}")


def _records(path: Path, data: ListedSet) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, values by column) of a CSV whose header has the right columns."""
    needed = [data.path_column, data.label_column]
    known = [*needed, data.split_column, data.group_column, data.frames_column]
    rows = csv_rows(read_named(path), str(path), needed, skip_blank=True)
    header = next(rows, (1, []))[1]
    names = [name.strip() for name in header]
    for column in needed:
        if column not in names:
            hint = did_you_mean(column, names) if len(names) > 1 else ""
            raise Gesture3dError(
                f"{path}: no column {column!r} in its header {one_line(','.join(names), 200)!r}."
                f"{hint} Expected path,label, or other names in data.path_column and "
                "data.label_column"
            )
    for column in column_places(header, str(path)):
        if column not in (*known, *data.ignore_columns):
            hint = did_you_mean(column, known)
            raise Gesture3dError(
                f"{path}: unknown column {column!r}.{hint} Expected {','.join(known)}; name others "
                "in data.ignore_columns"
            )
    for number, row in rows:
        yield number, dict(zip(names, map(str.strip, row), strict=True))
