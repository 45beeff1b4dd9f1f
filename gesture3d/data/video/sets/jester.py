"""Jester v1 in its official layout, and every data set that is stored in the same way.

    root/jester-v1-labels.csv                 one class a line
    root/jester-v1-train.csv                  id;label
    root/jester-v1-validation.csv             id;label
    root/jester-v1-test.csv                   id
    root/20bn-jester-v1/<id>/00001.jpg ...    or <id>.mp4, <id>.webm, <id>.avi, ...

A file ``jester-v1-test-labels.csv`` (``id;label``) is used for the test labels if it is there.
"""

import os
from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import SPLITS, Index, Item
from gesture3d.data.video.stream import VideoData
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.settings import Place
from gesture3d.text import lines_of

CLIPS_FOLDER = "20bn-jester-v1"
HELP = (
    "expected jester-v1-labels.csv, jester-v1-train.csv, jester-v1-validation.csv, "
    f"jester-v1-test.csv and the folder {CLIPS_FOLDER} with the clips; register for them at "
    "https://www.qualcomm.com/developer/software/jester-dataset, or train on generated clips "
    "with --data synthetic"
)
# Classes that become each other in a mirror.
MIRROR_PAIRS = (
    ("Swiping Left", "Swiping Right"),
    ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
    ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
)
# Classes that become each other when played backwards; all others stay what they are.
REVERSAL_PAIRS = (
    ("Swiping Left", "Swiping Right"),
    ("Swiping Down", "Swiping Up"),
    ("Pushing Hand Away", "Pulling Hand In"),
    ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
    ("Sliding Two Fingers Down", "Sliding Two Fingers Up"),
    ("Pushing Two Fingers Away", "Pulling Two Fingers In"),
    ("Rolling Hand Forward", "Rolling Hand Backward"),
    ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
    ("Zooming In With Full Hand", "Zooming Out With Full Hand"),
    ("Zooming In With Two Fingers", "Zooming Out With Two Fingers"),
)


class JesterData(VideoData):
    """Jester v1 in its official layout, clips as video files or frame folders."""

    name: Literal["jester"]
    root: Place = Path("data/jester")
    modality: Literal["rgb", "flow"] = "rgb"

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_jester(self.root, missing_ok=missing_ok)


def read_jester(
    root: Path,
    modality: str = "rgb",
    missing_ok: Container[str] = (),
) -> Index:
    """The clips of a set in Jester's layout.

    Args:
        missing_ok: ids of clips that need not be there.
        modality: "rgb" reads ``root/20bn-jester-v1``, any other ``root/<modality>`` (the
            generated stand-in has "depth").

    Raises:
        Gesture3dError: a missing file or clip, or a wrong line, named with its number.
    """
    root = Path(root)
    class_names = read_class_names(root / "jester-v1-labels.csv")
    test_labels = root / "jester-v1-test-labels.csv"
    unlabelled = root / "jester-v1-test.csv"
    lists = {split: root / f"jester-v1-{split}.csv" for split in SPLITS}
    if test_labels.is_file():
        lists["test"] = test_labels
    folder = root / (CLIPS_FOLDER if modality == "rgb" else modality)
    paths = _clip_paths(folder)
    seen: dict[str, str] = {}
    items = [
        item
        for split, path in lists.items()
        for item in read_list(
            path, folder, paths, class_names, seen, path != unlabelled, missing_ok, split
        )
    ]
    mirror, reversal = (_both_ways(pairs, class_names) for pairs in (MIRROR_PAIRS, REVERSAL_PAIRS))
    return Index(class_names, items, mirror=mirror, reversal=reversal)


def read_class_names(path: Path) -> tuple[str, ...]:
    """The classes of ``jester-v1-labels.csv``, in the file's order."""
    names = [name for _, name in _lines(path)]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise Gesture3dError(f"{path}: class {name!r} is listed twice")
    if not names:
        raise Gesture3dError(f"{path}: no classes in it")
    return tuple(names)


def read_list(
    path: Path,
    folder: Path,
    paths: dict[str, Path],
    class_names: tuple[str, ...],
    seen: dict[str, str],
    has_labels: bool = True,
    missing_ok: Container[str] = (),
    split: str = "",
) -> list[Item]:
    """The clips of one list, ``id;label`` or ``id`` a line.

    Args:
        paths: the clips on disk by id.
        seen: where each id was listed so far; extended.
        missing_ok: ids of clips that need not be there.
    """
    labels = {name: number for number, name in enumerate(class_names)}
    clips, missing = [], []
    for number, line in _lines(path):
        where = f"{path}:{number}"
        key, separator, name = (part.strip() for part in line.partition(";"))
        if not key or bool(separator) != has_labels or ";" in name:
            expected = "id;label" if has_labels else "id"
            raise Gesture3dError(f"{where}: expected '{expected}', found {line!r}")
        if has_labels and name not in labels:
            hint = did_you_mean(name, labels)
            raise Gesture3dError(f"{where}: unknown label {name!r}.{hint}")
        if key in seen:
            raise Gesture3dError(f"{where}: id {key} is listed already at {seen[key]}")
        seen[key] = where
        if key not in paths and key not in missing_ok:
            missing.append(key)
            continue
        path_of_clip = paths.get(key, folder / key)
        label = labels[name] if has_labels else -1
        clips.append(Item(key, label, path_of_clip, None, split, None, where))
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        total = len(clips) + len(missing)
        raise Gesture3dError(
            f"{path}: {len(missing)} of {total} clips are not in {folder}: {first}"
        )
    return clips


def _both_ways(pairs: tuple[tuple[str, str], ...], class_names: tuple[str, ...]) -> dict[str, str]:
    """The pairs of known classes, as a map in both directions."""
    known = [pair for pair in pairs if set(pair) <= set(class_names)]
    return dict(known) | {b: a for a, b in known}


def _lines(path: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines with something in them; tolerates BOM and CRLF."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Gesture3dError(
            f"no Jester set in {path.parent}: {path.name} is missing; {HELP}"
        ) from None
    except UnicodeDecodeError:
        raise Gesture3dError(f"{path}: not a text file in UTF-8") from None
    lines = ((number, line.strip()) for number, line in enumerate(lines_of(text), 1))
    return [(number, line) for number, line in lines if line]


def _clip_paths(folder: Path) -> dict[str, Path]:
    """Every video file and folder by its name without suffix, in one pass over the directory."""
    from gesture3d.data.video.reading import VIDEO_SUFFIXES
    from gesture3d.data.walk import is_litter

    try:
        entries = list(os.scandir(folder))
    except OSError:
        raise Gesture3dError(f"no folder {folder}; {HELP}") from None
    files: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (148,092 entries)
        if suffix.lower() in VIDEO_SUFFIXES and not is_litter(entry.name):
            if stem in files:
                both = f"{files[stem].name} and {entry.name}"
                raise Gesture3dError(f"{folder}: two clips of one id: {both}; remove one")
            files[stem] = folder / entry.name
        elif not suffix and entry.is_dir():
            folders[entry.name] = folder / entry.name
    return folders | files
