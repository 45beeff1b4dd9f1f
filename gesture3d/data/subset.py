"""Parts of a data set: without named items, some classes only, a few training items a class."""

import contextlib
import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from gesture3d.data.index import Index, Item, fingerprint
from gesture3d.data.sets import DataSet
from gesture3d.data.streams import stream_classes
from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.text import lines_of, one_line


def excluded_keys(data: DataSet) -> set[str]:
    """The keys named in ``data.exclude`` and in the file ``data.exclude_list``.

    Raises:
        Gesture3dError: the file cannot be read.
    """
    keys = set(data.exclude)
    path = data.exclude_list
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


def refuse_unknown(keys: set[str], index: Index) -> None:
    """Raise where a key that is to be left out is in no list."""
    known = {item.key for item in index.items}
    for key in sorted(keys - known):
        raise Gesture3dError(f"data.exclude: no sample {key!r}.{did_you_mean(key, known)}")


def without(index: Index, keys: Collection[str]) -> Index:
    """The index without the items of these keys."""
    return replace(index, items=[item for item in index.items if item.key not in keys])


def refuse_untrained(index: Index, listed: Index, why: str) -> None:
    """Raise where a class of ``index`` had items to train on when they were listed, and has none.

    Args:
        why: the setting that left them out.
    """
    had, has = ({item.label for item in i.of("train")} for i in (listed, index))
    for label in sorted(had - has) if has else ():
        raise Gesture3dError(
            f"{why} leaves no sample of class {index.class_names[label]!r} to train on: keep one, "
            "or leave the class out (data.classes)"
        )


def only_classes(index: Index, classes: tuple[str, ...] | None) -> Index:
    """The items of these classes, numbered anew in this order; None: all as they are.

    Items of other classes, and those whose label is withheld, are left out.

    Raises:
        Gesture3dError: an unknown or double class.
    """
    if classes is None or classes == index.class_names:
        return index
    numbers: dict[int, int] = {}
    for number, name in enumerate(classes):
        if name not in index.class_names:
            hint = did_you_mean(name, index.class_names)
            raise Gesture3dError(f"data.classes: no class {name!r}.{hint}")
        if numbers.setdefault(index.class_names.index(name), number) != number:
            raise Gesture3dError(f"data.classes: {name!r} is named twice")
    items = [replace(i, label=numbers[i.label]) for i in index.items if i.label in numbers]
    if any(item.events is not None for item in index.items):  # others are background
        items = [
            replace(i, events=tuple(e for e in i.events if e.label in classes)) for i in index.items
        ]
        classes = stream_classes(classes)

    def within(pairs: dict[str, str] | None) -> dict[str, str] | None:
        """None where an item would become one of a class that is left out."""
        kept = {a: b for a, b in (pairs or {}).items() if a in classes}
        return kept if pairs is not None and set(kept.values()) <= set(classes) else None

    return replace(
        index,
        class_names=tuple(classes),
        items=items,
        mirror=within(index.mirror),
        reversal=within(index.reversal),
    )


def numbered_as(index: Index, class_names: Sequence[str], data: DataSet) -> Index:
    """The index with the numbers that a network gives its classes.

    Raises:
        Gesture3dError: a class that the network has not.
    """
    ours = tuple(class_names)
    other = [name for name in index.class_names if name not in ours]
    if other:
        more = f" and {len(other) - 5} more" if len(other) > 5 else ""
        raise Gesture3dError(
            f"{data.root}: its classes are not those of the training; not in the training: "
            f"{', '.join(other[:5])}{more} (data.classes=[…] takes some)"
        )
    numbers = [ours.index(name) for name in index.class_names]
    items = [replace(i, label=numbers[i.label] if i.label >= 0 else -1) for i in index.items]
    return replace(index, class_names=ours, items=items)


def few_shots(index: Index, count: int | None, seed: int) -> Index:
    """``count`` training items of each class; validation and test keep all theirs.

    Which are taken depends on ``seed`` and the items' keys alone: k shots are among the k + 1
    shots, whatever classes are chosen.

    Raises:
        Gesture3dError: a class with fewer.
    """
    if count is None:
        return index
    items_of: dict[int, list[Item]] = defaultdict(list)
    for item in index.of("train"):
        items_of[item.label].append(item)
    chosen: set[str] = set()
    for label, name in enumerate(index.class_names):
        items = sorted(items_of[label], key=lambda item: fingerprint([(seed, item.key)]))
        if len(items) < count:
            raise Gesture3dError(
                f"data.few_shot {count}: class {name!r} has only {len(items)} training samples"
            )
        chosen |= {item.key for item in items[:count]}
    return replace(index, items=[i for i in index.items if i.split != "train" or i.key in chosen])
