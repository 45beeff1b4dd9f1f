"""Divide clips into train, validation and test so that no group is in two of them."""

from collections import Counter, defaultdict
from pathlib import Path

from gesture3d.data.index import Clip, fingerprint
from gesture3d.errors import Gesture3dError, did_you_mean

SPLITS = ("train", "validation", "test")
# What folders and lists call them.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_by_groups(
    clips: list[Clip], validation_groups: tuple[str, ...], test_groups: tuple[str, ...]
) -> dict[str, list[Clip]]:
    """The clips of the named groups to validation and test, the others to train."""
    groups = {clip.group for clip in clips if clip.group is not None}
    if not groups:
        raise Gesture3dError("data.validation_groups, data.test_groups: the clips have no groups")
    split_of: dict[str, str] = {}
    for split, names in (("validation", validation_groups), ("test", test_groups)):
        for name in names:
            if name not in groups:
                hint = did_you_mean(name, groups)
                raise Gesture3dError(f"data.{split}_groups: no clips of group {name!r}.{hint}")
            if name in split_of:
                raise Gesture3dError(f"data.{split}_groups: group {name!r} is named twice")
            split_of[name] = split
    splits: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for clip in clips:
        splits[split_of.get(clip.group, "train")].append(clip)
    return splits


def split_by_shares(
    clips: list[Clip],
    class_names: tuple[str, ...],
    validation_share: float,
    test_share: float,
    seed: int,
) -> dict[str, list[Clip]]:
    """About these shares of every class to validation and test, whole groups at a time.

    A clip without a group is a group of its own. Every class keeps a group to train on. The split
    depends on ``seed`` and the groups' names, and changes little when clips are added.

    Raises:
        Gesture3dError: a class with a single clip, which cannot be on both sides.
    """
    total = Counter(clip.label for clip in clips)
    for label, count in sorted(total.items()):
        if count < 2:
            raise Gesture3dError(
                f"class {class_names[label]!r} has a single clip: give it at least two, or give "
                "every clip its split"
            )
    members: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        members[clip.group or clip.key].append(clip)
    counts = {group: Counter(clip.label for clip in found) for group, found in members.items()}
    groups_left = Counter(label for count in counts.values() for label in count)
    split_of = dict.fromkeys(members, "train")
    order = sorted(members, key=lambda group: fingerprint([(seed, group)]))
    for split, share in (("test", test_share), ("validation", validation_share)):
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
    splits: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for clip in clips:
        splits[split_of[clip.group or clip.key]].append(clip)
    return splits


def check_splits(splits: dict[str, list[Clip]], class_names: tuple[str, ...], source: Path) -> None:
    """Raise where training or validation is empty, a class is not trained, or a group leaks."""
    for split in ("train", "validation"):
        if not splits[split]:
            raise Gesture3dError(f"{source}: no clips for {split}")
    trained = {clip.label for clip in splits["train"]}
    split_of_group: dict[str, str] = {}
    for split, clips in splits.items():
        for clip in clips:
            if clip.label not in trained:
                name = class_names[clip.label]
                raise Gesture3dError(f"{source}: class {name!r} is in {split} but not in train")
            other = split_of_group.setdefault(clip.group, split) if clip.group else split
            if other != split:
                raise Gesture3dError(f"{source}: group {clip.group!r} is in {other} and {split}")
