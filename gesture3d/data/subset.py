"""Parts of a data set: without named clips, some classes only, a few training clips a class."""

import contextlib
import json
from collections import defaultdict
from dataclasses import replace

from gesture3d.config import VideoData
from gesture3d.data.index import Clip, ClipIndex, fingerprint
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.text import lines_of, one_line


def excluded_keys(config: VideoData) -> set[str]:
    """The keys named in ``data.exclude`` and in the file ``data.exclude_list``.

    Raises:
        Gesture3dError: the file cannot be read.
    """
    keys = set(config.exclude)
    path = config.exclude_list
    if path is None:
        return keys
    try:
        lines = lines_of(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise Gesture3dError(f"data.exclude_list: cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        # A line of the doctor's list, which has a tab, is no comment even if its key begins so.
        if line.strip() and (not line.startswith("#") or "\t" in line):
            key = _key_of(line)
            if not key:
                raise Gesture3dError(f"data.exclude_list: {path}:{number}: no key before the tab")
            keys.add(key)
    return keys


def list_line(key: str, reason: str) -> str:
    """A line for ``data.exclude_list``; keys that a line cannot hold are quoted as JSON."""
    plain = key == key.strip() == one_line(key) and not key.startswith(("#", '"'))
    return f"{key if plain else json.dumps(key)}\t{one_line(reason)}\n"


def _key_of(line: str) -> str:
    key = line.split("\t")[0].strip()
    if key.startswith('"'):
        with contextlib.suppress(ValueError):
            return str(json.loads(key))
    return key


def without(index: ClipIndex, keys: set[str], all_known: bool = True) -> ClipIndex:
    """The index without the clips of these keys.

    Raises:
        Gesture3dError: with ``all_known``, there is no clip of such a key.
    """
    if not keys:
        return index
    known = {clip.key for clip in index.all_clips()}
    for key in sorted(keys - known) if all_known else ():
        raise Gesture3dError(f"data.exclude: no clip {key!r}.{did_you_mean(key, known)}")
    splits = {s: [c for c in clips if c.key not in keys] for s, clips in index.splits.items()}
    return replace(index, splits=splits)


def refuse_untrained(index: ClipIndex, listed: ClipIndex, why: str) -> None:
    """Raise where a class of ``index`` had clips to train on when they were listed, and has none.

    Args:
        why: the setting that left them out.
    """
    had, has = (
        {i.class_names[c.label] for c in i.splits.get("train", ()) if c.label >= 0}
        for i in (listed, index)
    )
    for name in index.class_names:
        if has and name in had and name not in has:
            raise Gesture3dError(
                f"{why} leaves no clip of class {name!r} to train on: keep one, or leave the class "
                "out (data.classes)"
            )


def choose_subset(index: ClipIndex, config: VideoData) -> ClipIndex:
    """The classes of ``data.classes``, and ``data.few_shot`` training clips of each class.

    Labels are numbered anew in the order of ``data.classes``. Clips of other classes, and clips
    whose label is withheld, are left out. Which training clips are taken depends on
    ``data.subset_seed`` and the clips' keys alone: k shots are among the k + 1 shots, whatever
    classes are chosen. Validation and test keep all their clips.

    Raises:
        Gesture3dError: an unknown or double class, or a class with too few training clips.
    """
    if config.classes is not None:
        index = _only_classes(index, config.classes)
    if config.few_shot is not None:
        train = _few_shots(index, config.few_shot, config.subset_seed)
        index = replace(index, splits=index.splits | {"train": train})
    return index


def _only_classes(index: ClipIndex, classes: tuple[str, ...]) -> ClipIndex:
    if classes == index.class_names:
        return index
    numbers: dict[int, int] = {}
    for number, name in enumerate(classes):
        if name not in index.class_names:
            hint = did_you_mean(name, index.class_names)
            raise Gesture3dError(f"data.classes: no class {name!r}.{hint}")
        if numbers.setdefault(index.class_names.index(name), number) != number:
            raise Gesture3dError(f"data.classes: {name!r} is named twice")
    splits = {
        split: [replace(c, label=numbers[c.label]) for c in clips if c.label in numbers]
        for split, clips in index.splits.items()
    }

    def within(pairs: dict[str, str] | None) -> dict[str, str] | None:
        """None where a clip would become one of a class that is left out."""
        kept = {a: b for a, b in (pairs or {}).items() if a in classes}
        return kept if pairs is not None and set(kept.values()) <= set(classes) else None

    return ClipIndex(tuple(classes), splits, within(index.mirror), within(index.reversal))


def _few_shots(index: ClipIndex, count: int, seed: int) -> list[Clip]:
    clips_of: dict[int, list[Clip]] = defaultdict(list)
    for clip in index.splits["train"]:
        clips_of[clip.label].append(clip)
    chosen: set[str] = set()
    for label, name in enumerate(index.class_names):
        clips = sorted(clips_of[label], key=lambda clip: fingerprint([(seed, clip.key)]))
        if len(clips) < count:
            raise Gesture3dError(
                f"data.few_shot {count}: class {name!r} has only {len(clips)} training clips"
            )
        chosen |= {clip.key for clip in clips[:count]}
    return [clip for clip in index.splits["train"] if clip.key in chosen]
