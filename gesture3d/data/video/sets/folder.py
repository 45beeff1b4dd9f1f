"""Anyone's clips: a folder per class, or a CSV of path, label and perhaps split and group.

    root/<class>/<clip>                             split here, by `gesture3d.data.split`
    root/{train,validation,test}/<class>/<clip>     split by the folders (val, valid, ... as well)
    clips.csv                                       path,label[,split][,group][,frames]

A clip is a video file, whatever its name ends in, or a folder of frames. What else lies in the
folders is left out, and counted. A CSV may have semicolons or tabs in the commas' place.
"""

import csv
import os
from collections.abc import Container, Iterator
from pathlib import Path

from gesture3d.config import FolderData, SkeletonFolderData
from gesture3d.data.index import Clip, ClipIndex, RealPaths
from gesture3d.data.split import SPLIT_NAMES, SPLITS, check_splits, split_by_groups, split_by_shares
from gesture3d.data.walk import Walk, divided, is_clip, is_frame, is_litter
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.text import one_line

# One clip as it was found: where it is listed, key, path, class, group, frames promised (None if
# they are not), split ("" if not given).
Row = tuple[str, str, Path, str, str | None, int | None, str]


def read_folder(
    config: FolderData, missing_ok: Container[str] = (), progress: bool = False
) -> ClipIndex:
    """The clips of a folder or CSV, split.

    Args:
        missing_ok: keys of listed clips that need not be there.
        progress: say what is left out.

    Raises:
        Gesture3dError: anything missing, unknown, double or left without clips, with its place.
    """
    if not config.root.is_dir():
        raise Gesture3dError(
            f"no folder {config.root}: put clips into {config.root}/<class>/<clip>, set data.root "
            "to where they are, or list them in a CSV (data.csv) with columns path,label"
        )
    if config.csv is None:
        rows = _rows_below(config, progress)
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


def class_folders(root: Path, walk: Walk) -> Iterator[tuple[str, Path]]:
    """(split, folder of a class): of ``root/<split>/<class>``, else of ``root/<class>``, split "".

    Raises:
        Gesture3dError: two folders are of one split.
    """
    files, folders = walk.enter(root)
    walk.leave_out(files)
    split_of = {folder: SPLIT_NAMES.get(folder.name.casefold(), "") for folder in folders}
    if not all(split_of.values()):
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


def _rows_below(config: FolderData, progress: bool) -> list[Row]:
    walk = Walk()
    rows = list(_folder_rows(config.root, walk))
    walk.report(progress, go_on=config.on_bad_clip == "exclude")
    return rows


def _folder_rows(root: Path, walk: Walk) -> Iterator[Row]:
    for split, class_folder in class_folders(root, walk):
        for path in _clips_of(class_folder, root, walk):
            key = path.relative_to(root).as_posix()
            yield str(path), key, path, class_folder.name, None, None, split


def _clips_of(class_folder: Path, root: Path, walk: Walk) -> list[Path]:
    if walk.has_entered(class_folder):
        raise Gesture3dError(f"{class_folder}: a link to a folder that is another class")
    num_problems = len(walk.problems)
    files, folders = walk.enter(class_folder)
    clips, others = divided(files, is_clip)
    for folder in folders:
        if not walk.has_entered(folder):
            _refuse_inner_folder(folder, root)
            clips.append(folder)
    if not clips and any(is_frame(path) for path in others):
        raise Gesture3dError(
            f"{class_folder}: holds frames, where a class holds clips: expected "
            f"{class_folder}/<clip>/00001.jpg, ..."
        )
    walk.leave_out(others)
    if not clips and len(walk.problems) == num_problems:
        left_out = walk.left_out()
        raise Gesture3dError(
            f"{class_folder}: no clips of this class in it{f' ({left_out})' if left_out else ''}"
        )
    return sorted(clips)


def _refuse_inner_folder(folder: Path, root: Path) -> None:
    """Raise where a folder in a class holds clips or folders instead of frames."""
    inside = None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_frame(Path(entry.name)):
                    return
                if inside is None and not is_litter(entry.name):
                    path = folder / entry.name
                    inside = path if os.path.isdir(path) or is_clip(path) else None  # noqa: PTH112
    except OSError:
        return  # which is found out when the clip is read
    if inside is not None:
        where = f"{root}/<class>/<clip> or {root}/{{train,validation,test}}/<class>/<clip>"
        raise Gesture3dError(
            f"found {inside}, expected {where}, a clip being a video file or a folder of frames: "
            "move the folders, or list the clips in a CSV (data.csv) with columns path,label"
        )


# --- a CSV ---------------------------------------------------------------------------------------


def csv_rows(
    config: FolderData | SkeletonFolderData, missing_ok: Container[str] = ()
) -> Iterator[Row]:
    """The rows of ``config.csv``, checked; every path exists but those of ``missing_ok``."""
    path = config.csv if config.csv.is_file() else config.root / config.csv
    if not path.is_file():
        raise Gesture3dError(f"data.csv: no file {config.csv}, neither here nor in {config.root}")
    seen: dict[str, int] = {}
    files: dict[Path, int] = {}
    real = RealPaths()
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
        given = (record.get(config.split_column) or "").strip()
        split = SPLIT_NAMES.get(given.casefold(), "")
        if config.split_column in record and not split:
            allowed = ", ".join(SPLITS)
            raise Gesture3dError(f"{where}: split {given!r} is none of {allowed}")
        group = (record.get(config.group_column) or "").strip() or None
        if config.group_column in record and group is None:
            raise Gesture3dError(f"{where}: empty group")
        places = (folder / key for folder in (path.parent, config.root))
        clip = next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110
        if clip is None and key not in missing_ok:
            missing.append(f"{key} (line {number})")
            continue
        first = files.setdefault(real.file(clip or config.root / key), number)
        if first != number:
            raise Gesture3dError(
                f"{where}: {name} is listed already in line {first}, by another path"
            )
        frames = (record.get(config.frames_column) or "").strip()
        if frames and not (frames.isdecimal() and len(frames) < 10):
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
            delimiter = _delimiter(file.readline(), needed)
            file.seek(0)
            reader = csv.DictReader(file, skipinitialspace=True, strict=True, delimiter=delimiter)
            header = [column.strip() for column in reader.fieldnames or []]
            reader.fieldnames = header
            for column in needed:
                if column not in header:
                    hint = did_you_mean(column, header) if len(header) > 1 else ""
                    raise Gesture3dError(
                        f"{path}: no column {column!r} in its header "
                        f"{one_line(','.join(header), 200)!r}.{hint} Expected path,label, or other "
                        "names in data.path_column and data.label_column"
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


def _delimiter(header: str, needed: list[str]) -> str:
    """What separates the columns: a comma, or a semicolon or tab if only that gives the needed."""
    for delimiter in (",", ";", "\t"):
        cells = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        if {cell.strip() for cell in cells} >= set(needed):
            return delimiter
    return ","
