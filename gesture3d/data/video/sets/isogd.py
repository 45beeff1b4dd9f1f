"""ChaLearn LAP IsoGD in its official layout.

    root/train_list.txt, valid_list.txt, test_list.txt    "<RGB clip> <depth clip> <label>" a line:
                                                          train/001/M_00001.avi train/001/K_00001.avi 26
    root/train/001/M_00001.avi (RGB), K_00001.avi (depth), ...
    root/train/001/M_00001/00001.jpg ...                  or a folder of frames in a clip's place

Labels are 1 to 249; 0 stands for a label that is withheld. The classes have no names in these
lists; they are called "1" to "249". A clip's key is ``train/001/00001`` in every modality, so that
networks for different modalities can be compared and fused clip by clip.
"""  # noqa: E501

import os
from collections.abc import Container
from pathlib import Path
from typing import Literal

from gesture3d.data.index import Index, Item
from gesture3d.data.video.stream import VideoData
from gesture3d.errors import Gesture3dError
from gesture3d.settings import Place
from gesture3d.text import lines_of

LISTS = {"train": "train_list.txt", "validation": "valid_list.txt", "test": "test_list.txt"}
NUM_CLASSES = 249
HELP = (
    "expected train_list.txt, valid_list.txt, test_list.txt and the folders train, valid, test; "
    "register for them at https://gesture.chalearn.org/2016-looking-at-people-cvpr-challenge/"
    "isogd-and-congd-datasets"
)


class IsoGDData(VideoData):
    """ChaLearn IsoGD with its official lists, clips as videos or folders of frames."""

    name: Literal["isogd"]
    root: Place = Path("data/isogd")

    def read(self, progress: bool = True, missing_ok: Container[str] = ()) -> Index:
        return read_isogd(self.root, self.modality, missing_ok)


def read_isogd(
    root: Path,
    modality: str = "rgb",
    missing_ok: Container[str] = (),
) -> Index:
    """The clips of IsoGD.

    Args:
        modality: "rgb" takes the first clip of each line, "depth" the second.
        missing_ok: keys of clips that need not be there.

    Raises:
        Gesture3dError: a missing file or clip, or a wrong line, named with its number.
    """
    root = Path(root)
    seen: dict[str, str] = {}
    items: list[Item] = []
    for split, name in LISTS.items():
        rows = read_list(root / name, seen)
        items += _find_clips(root, name, rows, modality == "depth", missing_ok, split)
    return Index(tuple(str(label) for label in range(1, NUM_CLASSES + 1)), items)


def read_list(path: Path, seen: dict[str, str]) -> list[tuple[str, str, str, int]]:
    """(key, RGB clip, depth clip, label) of each line; the label is 0 … 248, -1 where withheld.

    Args:
        seen: where each key was listed so far; extended.
    """
    rows = []
    for number, line in enumerate(lines_of(_read_text(path)), 1):
        words = line.replace("\\", "/").split()
        if not words:
            continue
        where = f"{path}:{number}"
        if len(words) != 3 or not words[2].isdecimal() or len(words[2]) > 9:
            raise Gesture3dError(
                f"{where}: expected '<RGB clip> <depth clip> <label>', found {line.strip()!r}"
            )
        label = int(words[2])
        if label > NUM_CLASSES:
            raise Gesture3dError(
                f"{where}: unknown label {label}: labels are 1 to {NUM_CLASSES}, 0 if withheld"
            )
        folder, _, name = words[0].rpartition("/")
        stem, _ = os.path.splitext(name.removeprefix("M_"))  # noqa: PTH122 (47,933 lines)
        key = f"{folder}/{stem}" if folder else stem
        if key in seen:
            raise Gesture3dError(f"{where}: {words[0]} is listed already at {seen[key]}")
        seen[key] = where
        rows.append((key, words[0], words[1], label - 1))
    return rows


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Gesture3dError(f"no IsoGD in {path.parent}: {path.name} is missing; {HELP}") from None
    except UnicodeDecodeError:
        raise Gesture3dError(f"{path}: not a text file in UTF-8") from None


def _find_clips(
    root: Path,
    list_name: str,
    rows: list[tuple[str, str, str, int]],
    depth: bool,
    missing_ok: Container[str],
    split: str,
) -> list[Item]:
    """The listed clips: the named file, or a folder of frames of that name without suffix."""
    present: dict[str, set[str]] = {}
    clips, missing = [], []
    for key, rgb_name, depth_name, label in rows:
        name = depth_name if depth else rgb_name
        folder, _, file = name.rpartition("/")
        if folder not in present:
            try:
                present[folder] = {entry.name for entry in os.scandir(root / folder)}
            except (OSError, ValueError):  # a name with a zero byte
                present[folder] = set()
        stem, _ = os.path.splitext(file)  # noqa: PTH122
        found = file if file in present[folder] else stem if stem in present[folder] else None
        if found is None and key not in missing_ok:
            missing.append(name)
        path = root / folder / (found or file)
        clips.append(Item(key, label, path, None, split, None, str(path)))
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise Gesture3dError(
            f"{root / list_name}: {len(missing)} of {len(rows)} clips are not in {root}: {first}"
        )
    return clips
