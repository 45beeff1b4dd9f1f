"""Eight options, for every stream alike: classes, few shots, exclusion, validation and test by
group, shares, folds, and the check that no group leaks."""

from pathlib import Path

import numpy as np
import pytest

from gesture3d.config import load_data
from gesture3d.data import build_datasets, count_folds
from gesture3d.errors import Gesture3dError
from tests.clips import square_clip, write_clip

PEOPLE, CLASSES, EACH = ("anna", "ben", "carl"), ("left", "right"), 2
STREAMS = ("video", "skeleton", "sequence", "inertial")
SUFFIXES = {"video": ".mp4", "skeleton": ".npy", "sequence": ".npy"}


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    """The same samples for each stream: two of each class by each of three people."""
    roots = {stream: tmp_path_factory.mktemp(stream) for stream in STREAMS}
    for person in PEOPLE:
        for label in CLASSES:
            for number in range(EACH):
                name = f"{person}-{label}-{number}"
                values = np.random.default_rng(number).normal(size=(6, 4, 3)).astype(np.float32)
                write_clip(roots["video"] / f"{name}.mp4", square_clip(label, number, frames=6))
                np.save(roots["skeleton"] / f"{name}.npy", values)
                np.save(roots["sequence"] / f"{name}.npy", values[:, :, 0])
    return roots


def write_lists(root: Path, stream: str, splits: dict[str, str] | None) -> None:
    """What lists the samples, with each person's split where it is given ("train/test": half of
    them each): for recordings, the tables themselves."""
    samples = [(p, c, n) for p in PEOPLE for c in CLASSES for n in range(EACH)]
    parts = {person: split.split("/") for person, split in (splits or {}).items()}
    given = [f",{parts[p][n % len(parts[p])]}" if splits else "" for p, _, n in samples]
    end = ",split" * bool(splits)
    if stream == "inertial":
        for person in PEOPLE:
            rows = [
                f"{label},{number},{step},{step % 3}{split}"
                for (who, label, number), split in zip(samples, given, strict=True)
                for step in range(8)
                if who == person
            ]
            (root / f"{person}.csv").write_text("\n".join([f"label,window,x,y{end}", *rows]))
        return
    rows = [
        f"{p}-{label}-{n}{SUFFIXES[stream]},{label},{p}{split}"
        for (p, label, n), split in zip(samples, given, strict=True)
    ]
    (root / "list.csv").write_text("\n".join([f"path,label,group{end}", *rows]))


def build(roots: dict[str, Path], stream: str, *overrides: str, splits=None):
    root = roots[stream]
    write_lists(root, stream, splits)
    recipe = {
        "video": ("folder", "data.csv=list.csv", "data.cache_size=null", "data.num_frames=4"),
        "skeleton": ("skeleton_folder", "data.csv=list.csv"),
        "sequence": ("sequence_folder", "data.csv=list.csv"),
        "inertial": ("inertial_folder", "data.window=8"),
    }[stream]
    none = ["data.validation_share=0", "data.test_share=0"]
    settings = [f"data.root={root}", *recipe[1:], *none, *overrides]
    return load_data(recipe[0], settings)


def splits_of(roots: dict[str, Path], stream: str, *overrides: str, splits=None) -> dict[str, str]:
    """Split → the people in it, and how many samples: ``anna:4 ben:4``."""
    found = build_datasets(build(roots, stream, *overrides, splits=splits), 0, progress=False)
    people = {}
    for split in ("train", "validation", "test"):
        samples = getattr(found, split)
        keys = [key[:4].rstrip("-.:") for key in samples.keys] if samples else []
        people[split] = " ".join(f"{p}:{keys.count(p)}" for p in sorted(set(keys)))
    return people


pytestmark = pytest.mark.parametrize("stream", STREAMS)


def test_classes(roots, stream) -> None:
    one = build_datasets(build(roots, stream, "data.classes=[right]"), 0, progress=False)
    assert one.class_names == ("right",)
    assert (len(one.train), set(one.train.labels.tolist())) == (6, {0})
    other = build_datasets(build(roots, stream, "data.classes=[right, left]"), 0, progress=False)
    assert other.class_names == ("right", "left")
    with pytest.raises(Gesture3dError, match=r"no class 'rihgt'\. Did you mean 'right'"):
        build_datasets(build(roots, stream, "data.classes=[rihgt]"), 0, progress=False)


def test_few_shots(roots, stream) -> None:
    few = build_datasets(build(roots, stream, "data.few_shot=2"), 0, progress=False).train
    assert np.bincount(few.labels).tolist() == [2, 2]
    more = build_datasets(build(roots, stream, "data.few_shot=3"), 0, progress=False).train
    assert set(few.keys) < set(more.keys)
    with pytest.raises(Gesture3dError, match="class 'left' has only 6 training samples"):
        build_datasets(build(roots, stream, "data.few_shot=7"), 0, progress=False)


def test_exclusion(roots, stream, tmp_path) -> None:
    every = build_datasets(build(roots, stream), 0, progress=False).train.keys
    (tmp_path / "bad.txt").write_text(f"{every[1]}\tno good\n")
    some = [f"data.exclude=['{every[0]}']", f"data.exclude_list={tmp_path / 'bad.txt'}"]
    left = build_datasets(build(roots, stream, *some), 0, progress=False).train.keys
    assert left == every[2:]
    with pytest.raises(Gesture3dError, match=r"data\.exclude: no sample 'x'"):
        build_datasets(build(roots, stream, "data.exclude=[x]"), 0, progress=False)


def test_validation_and_test_by_group(roots, stream) -> None:
    groups = ["data.validation_groups=[ben]", "data.test_groups=[carl]"]
    found = splits_of(roots, stream, *groups)
    assert found == {"train": "anna:4", "validation": "ben:4", "test": "carl:4"}
    for name in ("validation", "test"):
        with pytest.raises(Gesture3dError, match=rf"data\.{name}_groups: no group 'dora'"):
            splits_of(roots, stream, f"data.{name}_groups=[dora]")


def test_shares_of_whole_groups(roots, stream) -> None:
    found = splits_of(roots, stream, "data.validation_share=0.3", "data.test_share=0.3")
    assert sorted(found.values()) == ["anna:4", "ben:4", "carl:4"]


def test_folds(roots, stream) -> None:
    leave_one_out = build(roots, stream, "data.folds=leave_one_group_out")
    assert count_folds(leave_one_out) == 3
    tested = [
        splits_of(roots, stream, "data.folds=leave_one_group_out", f"data.fold={fold}")["test"]
        for fold in (1, 2, 3)
    ]
    assert tested == ["anna:4", "ben:4", "carl:4"]
    assert count_folds(build(roots, stream, "data.folds=k_fold", "data.num_folds=2")) == 2


GIVEN = {"anna": "train", "ben": "validation", "carl": "test"}


def test_a_split_that_is_given_stays(roots, stream) -> None:
    found = splits_of(roots, stream, splits=GIVEN)
    assert found == {"train": "anna:4", "validation": "ben:4", "test": "carl:4"}
    aside = splits_of(roots, stream, "data.folds=none", "data.test_groups=[ben]", splits=GIVEN)
    assert aside == {"train": "anna:4 carl:4", "validation": "", "test": "ben:4"}


def test_a_group_on_both_sides_is_refused(roots, stream) -> None:
    leaking = GIVEN | {"carl": "train/test"}
    with pytest.raises(Gesture3dError, match="group 'carl' is in train and test"):
        splits_of(roots, stream, splits=leaking)
