"""Which items are for training, validation and test, in every stream.

In this order: what the set gives (its splits, or a fold of its protocol), groups that are held out
by name, shares of each class. No group is ever in two splits.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from gesture3d.data.index import SPLITS, Index, Item, fingerprint
from gesture3d.data.numeric import is_count
from gesture3d.data.sets import DataSet
from gesture3d.errors import Gesture3dError, did_you_mean

# What folders and lists call them.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split(index: Index, data: DataSet, trains: bool = True) -> Index:
    """The index with every item's split, training first; validation and test may be empty.

    Args:
        trains: the training part may not be empty.

    Raises:
        Gesture3dError: unknown folds or groups, a split that is given already, a group that is in
            two splits.
    """
    if not index.items:
        raise Gesture3dError(f"{data.root}: the data set has no samples")
    splits = _given(index, data)
    is_given = {s: s in splits.values() for s in SPLITS}
    if data.test_groups:
        if any(is_given.values()):
            raise Gesture3dError(
                "data.test_groups: the data comes with a split already; set data.folds=none to "
                "leave it aside"
            )
        _hold_out(index, splits, data.test_groups, "test")
    if data.validation_groups and is_given["validation"]:
        raise Gesture3dError(
            "data.validation_groups: the data comes with a validation split already; set "
            "data.folds=none to leave it aside"
        )
    shares = {"test": data.test_share, "validation": data.validation_share}
    if data.test_groups or any(is_given.values()):
        shares["test"] = 0.0
    if data.validation_groups or is_given["validation"] or data.validate_on_test:
        shares["validation"] = 0.0
    if any(shares.values()):
        _share_out(index, splits, shares, data.seed)
    _hold_out(index, splits, data.validation_groups, "validation")
    items = [replace(item, split=splits[item.key] or "train") for item in index.items]
    found = replace(index, items=[i for s in SPLITS for i in items if i.split == s])
    if trains and not found.of("train"):
        raise Gesture3dError(f"{data.root}: no samples to train on")
    if data.validate_on_test and not found.of("test"):
        raise Gesture3dError("data.validate_on_test: there is no test split")
    _check_groups(found, data)
    return found


def folds(index: Index, data: DataSet) -> list[frozenset[str]]:
    """The keys of each fold's test part, as ``data.folds`` asks.

    Raises:
        Gesture3dError: no groups, or fewer groups than folds.
    """
    if data.folds in ("official", "none"):
        tested = frozenset(item.key for item in index.items if item.split == "test")
        return index.folds or [tested]
    ungrouped = [item.place for item in index.items if item.group is None]
    if ungrouped:
        raise Gesture3dError(f"data.folds={data.folds}: {ungrouped[0]} belongs to no group")
    groups = _sorted({item.group for item in index.items})
    if data.folds == "leave_one_group_out":
        parts = [[group] for group in groups]
    else:
        if len(groups) < data.num_folds:
            raise Gesture3dError(
                f"data.num_folds {data.num_folds}: there are only {len(groups)} groups"
            )
        groups.sort(key=lambda group: fingerprint([(data.seed, group)]))
        parts = [groups[start :: data.num_folds] for start in range(data.num_folds)]
    return [frozenset(i.key for i in index.items if i.group in part) for part in parts]


def _given(index: Index, data: DataSet) -> dict[str, str]:
    """Key → split, or "" where the set gives none."""
    if data.folds == "none":
        return {item.key: "" for item in index.items}
    parts = folds(index, data)
    if data.fold > len(parts):
        raise Gesture3dError(f"data.fold {data.fold}: there are folds 1 to {len(parts)}")
    if data.folds == "official" and not index.folds:
        return {item.key: item.split for item in index.items}
    tested = parts[data.fold - 1]
    return {item.key: "test" if item.key in tested else "" for item in index.items}


def _hold_out(index: Index, splits: dict[str, str], names: Iterable[str], split: str) -> None:
    """The items of these groups, which must be among those that would be trained on."""
    left = {i.group for i in index.items if i.group is not None and splits[i.key] in ("", "train")}
    for name in names:
        if name not in left:
            raise Gesture3dError(
                f"data.{split}_groups: no group {name!r} in the training part; it has "
                f"{', '.join(_sorted(left)) or 'none'}.{did_you_mean(name, left)}"
            )
    chosen = set(names)
    for item in index.items:
        if item.group in chosen and splits[item.key] in ("", "train"):
            splits[item.key] = split


def _share_out(index: Index, splits: dict[str, str], shares: dict[str, float], seed: int) -> None:
    """About these shares of every class out of the training part, whole groups at a time.

    An item without a group is a group of its own. Every class keeps a group to train on. The split
    depends on ``seed`` and the groups' names, and changes little when items are added.

    Raises:
        Gesture3dError: a class with a single item, which cannot be on both sides.
    """
    items = [item for item in index.items if splits[item.key] in ("", "train")]
    total = Counter(item.label for item in items)
    for label, count in sorted(total.items()):
        if count < 2 and label < 0:
            raise Gesture3dError(
                f"{items[0].place}: the only stream to train on: give one of validation as well"
            )
        if count < 2:
            raise Gesture3dError(
                f"class {index.class_names[label]!r} has a single sample: give it at least two, or "
                "give every sample its split"
            )
    members: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        members[item.group or item.key].append(item)
    counts = {group: Counter(item.label for item in found) for group, found in members.items()}
    groups_left = Counter(label for count in counts.values() for label in count)
    split_of = dict.fromkeys(members, "train")
    order = sorted(members, key=lambda group: fingerprint([(seed, group)]))
    for split, share in shares.items():
        wanted = {
            label: max(1.0, share * count) if share else 0.0 for label, count in total.items()
        }
        for group in order:
            count = counts[group]
            # Taking the group must bring the classes' counts nearer to what is wanted.
            gain = sum(n * (2 * wanted[label] - n) for label, n in count.items())
            if split_of[group] == "train" and gain > 0 and all(groups_left[c] > 1 for c in count):
                split_of[group] = split
                for label, n in count.items():
                    wanted[label] -= n
                    groups_left[label] -= 1
    for item in items:
        splits[item.key] = split_of[item.group or item.key]


def _check_groups(index: Index, data: DataSet) -> None:
    """Raise where a group leaks from one split into another, unless the protocol has it so."""
    if index.shared_groups and data.folds == "official":
        return
    split_of: dict[str, str] = {}
    for item in index.items:
        if item.group is None:
            continue
        other = split_of.setdefault(item.group, item.split)
        if other != item.split:
            raise Gesture3dError(
                f"{data.root}: group {item.group!r} is in {other} and {item.split} ({item.place}): "
                "what is tested must not be trained on"
            )


def check_classes(index: Index, data: DataSet) -> None:
    """Raise Gesture3dError where a class is in a split that cannot be learnt in training."""
    trained = {item.label for item in index.of("train")}
    for item in index.items:
        if item.label >= 0 and item.label not in trained:
            name = index.class_names[item.label]
            raise Gesture3dError(f"{data.root}: class {name!r} is in {item.split} but not in train")
    made = {event.label for item in index.of("train") for event in item.events or ()}
    for item in index.items:
        for event in item.events or ():
            if event.label not in made:
                raise Gesture3dError(
                    f"{data.root}: {event.label!r} is in {item.place} but in no stream of train"
                )


def _sorted(groups: Iterable[str]) -> list[str]:
    """Numbers as numbers, then names."""
    return sorted(groups, key=lambda g: (0, int(g), "") if is_count(g) else (1, 0, g))
