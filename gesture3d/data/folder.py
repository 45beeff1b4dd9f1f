"""Anyone's clips: a folder per class, or a CSV of path, label and perhaps split and group.

    root/<class>/<clip>                             split here, by `gesture3d.data.split`
    root/{train,validation,test}/<class>/<clip>     split by the folders
    clips.csv                                       path,label[,split][,group][,frames]

A clip is a video file or a folder of frames.
"""

import csv
import os
from collections.abc import Container, Iterator
from pathlib import Path

from gesture3d.config import FolderData, SkeletonFolderData
from gesture3d.data.frames import IMAGE_SUFFIXES
from gesture3d.data.index import Clip, ClipIndex
from gesture3d.data.split import SPLITS, check_splits, split_by_groups, split_by_shares
from gesture3d.data.video import VIDEO_SUFFIXES
from gesture3d.errors import Gesture3dError, did_you_mean

# One clip as it was found: where it is listed, key, path, class, group, frames promised (None if
# they are not), split ("" if not given).
Row = tuple[str, str, Path, str, str | None, int | None, str]


def read_folder(config: FolderData, missing_ok: Container[str] = ()) -> ClipIndex:
    """The clips of a folder or CSV, split.

    Args:
        missing_ok: keys of listed clips that need not be there.

    Raises:
        Gesture3dError: anything missing, unknown, double or left without clips, with its place.
    """
    if not config.root.is_dir():
        raise Gesture3dError(
            f"no folder {config.root}: put clips into {config.root}/<class>/<clip>, set data.root "
            "to where they are, or list them in a CSV (data.csv) with columns path,label"
        )
    if config.csv is None:
        rows = list(_folder_rows(config.root))
    else:
        rows = list(csv_rows(config, missing_ok))
    rows, class_names = _choose_classes(rows, config)
    labels = {name: number for number, name in enumerate(class_names)}
    clips = [
        Clip(key, path, labels[name], group, num_frames)
        for _, key, path, name, group, num_frames, _ in rows
    ]
    given = [row[-1] for row in rows]
    groups_named = bool(config.validation_groups or config.test_groups)
    if any(given):
        if groups_named:
            raise Gesture3dError(
                "data.validation_groups and data.test_groups: the clips come with a split already"
            )
        splits = {split: [] for split in SPLITS}
        for clip, split in zip(clips, given, strict=True):
            splits[split].append(clip)
    elif groups_named:
        splits = split_by_groups(clips, config.validation_groups, config.test_groups)
    else:
        splits = split_by_shares(
            clips, class_names, config.validation_share, config.test_share, config.seed
        )
    check_splits(splits, class_names, config.csv or config.root)
    return ClipIndex(class_names, splits)


def _choose_classes(rows: list[Row], config: FolderData) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of the wanted classes, and those classes: as configured, else all, sorted."""
    if not rows:
        raise Gesture3dError(f"{config.csv or config.root}: no clips in it")
    found = sorted({row[3] for row in rows})
    if config.classes is None:
        return rows, tuple(found)
    for name in config.classes:
        if config.classes.count(name) > 1:
            raise Gesture3dError(f"data.classes: {name!r} is named twice")
        if name not in found:
            hint = did_you_mean(name, found)
            raise Gesture3dError(f"data.classes: no clips of class {name!r}.{hint}")
    return [row for row in rows if row[3] in config.classes], config.classes


# --- a folder per class --------------------------------------------------------------------------


def _folder_rows(root: Path) -> Iterator[Row]:
    folders = _subfolders(root)
    by_split = bool(folders) and {folder.name for folder in folders} <= set(SPLITS)
    for split_folder in folders if by_split else [root]:
        for class_folder in _subfolders(split_folder):
            paths = _clips_of(class_folder)
            for path in paths:
                key = path.relative_to(root).as_posix()
                split = split_folder.name if by_split else ""
                yield str(path), key, path, class_folder.name, None, None, split


def _clips_of(class_folder: Path) -> list[Path]:
    entries = sorted(p for p in class_folder.iterdir() if not p.name.startswith("."))
    clips = [p for p in entries if p.suffix.lower() in VIDEO_SUFFIXES or p.is_dir()]
    if clips:
        return clips
    if any(p.suffix.lower() in IMAGE_SUFFIXES for p in entries):
        raise Gesture3dError(
            f"{class_folder}: holds frames, where a class holds clips: expected "
            f"{class_folder}/<clip>/00001.jpg, ..."
        )
    raise Gesture3dError(f"{class_folder}: no clips of this class in it")


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


# --- a CSV ---------------------------------------------------------------------------------------


def csv_rows(
    config: FolderData | SkeletonFolderData, missing_ok: Container[str] = ()
) -> Iterator[Row]:
    """The rows of ``config.csv``, checked; every path exists but those of ``missing_ok``."""
    path = config.csv if config.csv.is_file() else config.root / config.csv
    if not path.is_file():
        raise Gesture3dError(f"data.csv: no file {config.csv}, neither here nor in {config.root}")
    seen: dict[str, int] = {}
    missing: list[str] = []
    for number, record in _records(path, config):
        where = f"{path}:{number}"
        name, label = record[config.path_column].strip(), record[config.label_column].strip()
        if not name or not label:
            raise Gesture3dError(f"{where}: empty path or label")
        key = Path(os.path.normpath(name.replace("\\", "/"))).as_posix()
        if key in seen:
            raise Gesture3dError(f"{where}: {name} is listed already in line {seen[key]}")
        seen[key] = number
        split = (record.get(config.split_column) or "").strip()
        if config.split_column in record and split not in SPLITS:
            allowed = ", ".join(SPLITS)
            raise Gesture3dError(f"{where}: split {split!r} is none of {allowed}")
        group = (record.get(config.group_column) or "").strip() or None
        if config.group_column in record and group is None:
            raise Gesture3dError(f"{where}: empty group")
        clip = next((f / key for f in (path.parent, config.root) if (f / key).exists()), None)
        if clip is None and key not in missing_ok:
            missing.append(f"{key} (line {number})")
            continue
        frames = (record.get(config.frames_column) or "").strip()
        if frames and not frames.isdecimal():
            raise Gesture3dError(f"{where}: {config.frames_column} {frames!r} is no whole number")
        num_frames = int(frames) if frames else None
        yield where, key, clip or config.root / key, label, group, num_frames, split
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise Gesture3dError(f"{path}: {len(missing)} of {len(seen)} clips do not exist: {first}")


def _records(
    path: Path, config: FolderData | SkeletonFolderData
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, values by column) of a CSV whose header has the right columns."""
    needed = [config.path_column, config.label_column]
    optional = [config.split_column, config.group_column, config.frames_column]
    known = [*needed, *optional, *config.ignore_columns]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            header = [column.strip() for column in reader.fieldnames or []]
            reader.fieldnames = header
            for column in needed:
                if column not in header:
                    hint = did_you_mean(column, header)
                    raise Gesture3dError(
                        f"{path}: no column {column!r} in its header {','.join(header)!r}.{hint}"
                    )
            for column in header:
                if column not in known or header.count(column) > 1:
                    hint = did_you_mean(column, known)
                    raise Gesture3dError(
                        f"{path}: unknown or double column {column!r}.{hint} Expected "
                        f"{','.join(known[:5])}; name others in data.ignore_columns"
                    )
            for record in reader:
                if None in record or None in record.values():
                    raise Gesture3dError(
                        f"{path}:{reader.line_num}: expected {len(header)} columns, as the header"
                    )
                yield reader.line_num, record
    except (csv.Error, UnicodeDecodeError) as error:
        raise Gesture3dError(f"{path}: not a CSV in UTF-8: {error}") from None
