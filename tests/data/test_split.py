"""Splits of any stream: given, by folds, by groups, by shares."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gesture3d.data.index import Index, Item
from gesture3d.data.split import check_classes, folds, split
from gesture3d.data.video.sets.folder import FolderData
from gesture3d.errors import Gesture3dError

NAMES = tuple("abcd")


def divided(items: list[Item], index: Index | None = None, **options) -> dict[str, list[Item]]:
    options = {"validation_share": 0.0} | options
    found = split(index or Index(NAMES, items), FolderData(name="folder", **options))
    return found.splits


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=80),
    st.booleans(),
    st.floats(0, 0.5),
    st.integers(0, 5),
)
def test_splits_are_disjoint_whole_and_reproducible(rows, grouped, share, seed):
    rows = rows * 2  # at least two clips a class
    clips = [
        Item(f"{i}", label, Path(f"{i}"), f"g{group}" if grouped else None)
        for i, (label, group) in enumerate(rows)
    ]
    shares = {"validation_share": 0.2, "test_share": share, "seed": seed}
    splits = divided(clips, **shares)
    assert splits == divided(clips, **shares)
    assert sorted(c.key for s in splits.values() for c in s) == sorted(c.key for c in clips)
    assert {c.label for c in splits["train"]} == {c.label for c in clips}
    if grouped:
        groups = [{c.group for c in found} for found in splits.values()]
        assert sum(map(len, groups)) == len(set.union(*groups))
    if not grouped:
        for label in {c.label for c in clips}:
            count = sum(c.label == label for c in clips)
            found = sum(c.label == label for c in splits["validation"])
            assert abs(found - max(1, 0.2 * count)) <= 1


def test_a_new_clip_moves_few_others():
    clips = [Item(f"clip{i}", i % 4, Path(f"{i}")) for i in range(200)]
    before, after = (
        {name: {c.key for c in found} for name, found in splits.items()}
        for splits in (
            divided(some, validation_share=0.2, test_share=0.1) for some in (clips[:-1], clips)
        )
    )
    for name, found in before.items():
        assert len(found ^ after[name]) <= 3


# --- folds, groups, what is given ---------------------------------------------------------------


def grouped(count: int = 12, **more) -> list[Item]:
    return [Item(str(n), n % 2, Path(str(n)), f"p{n // 4}", **more) for n in range(count)]


def keys(splits: dict[str, list[Item]]) -> dict[str, str]:
    return {name: " ".join(item.key for item in items) for name, items in splits.items()}


def test_folds_of_whole_groups() -> None:
    data = FolderData(name="folder", folds="leave_one_group_out", validation_share=0)
    index = Index(NAMES, grouped())
    assert [sorted(fold) for fold in folds(index, data)] == [
        ["0", "1", "2", "3"],
        ["4", "5", "6", "7"],
        ["10", "11", "8", "9"],
    ]
    found = split(index, data.model_copy(update={"fold": 3, "validation_groups": ("p0",)}))
    assert keys(found.splits) == {"train": "4 5 6 7", "validation": "0 1 2 3", "test": "8 9 10 11"}
    two = data.model_copy(update={"folds": "k_fold", "num_folds": 2})
    parts = folds(index, two)
    assert len(parts) == 2
    assert frozenset.union(*parts) == {str(n) for n in range(12)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 2}, "fold 2: there are folds 1 to 1"),
        ({"folds": "leave_one_group_out", "fold": 4}, "fold 4: there are folds 1 to 3"),
        ({"folds": "k_fold", "num_folds": 4}, "only 3 groups"),
        ({"validation_groups": ("p9",)}, r"no group 'p9' in the training part; it has p0, p1, p2"),
        ({"test_groups": ("p1",), "validation_groups": ("p1",)}, "no group 'p1'"),
        ({"validate_on_test": True}, "there is no test split"),
        ({"test_groups": ("p0", "p1", "p2")}, "no samples to train on"),
    ],
)
def test_impossible_splits_are_refused(options, message) -> None:
    with pytest.raises(Gesture3dError, match=message):
        divided(grouped(), **options)


def test_what_the_set_gives_is_kept_or_left_aside() -> None:
    items = [Item(str(n), 0, Path(), f"p{n}", ("train", "test")[n % 2]) for n in range(8)]
    assert keys(divided(items))["test"] == "1 3 5 7"
    assert keys(divided(items, validation_groups=("p2",))) == {
        "train": "0 4 6",
        "validation": "2",
        "test": "1 3 5 7",
    }
    with pytest.raises(Gesture3dError, match="test_groups: the data comes with a split"):
        divided(items, test_groups=("p0",))
    aside = divided(items, folds="none", test_groups=("p0",), validation_groups=("p1",))
    assert keys(aside) == {"train": "2 3 4 5 6 7", "validation": "1", "test": "0"}
    assert keys(divided(items, folds="none"))["test"] == ""
    shared = divided(items, validation_share=0.25)  # of what is left to train on
    assert (len(shared["train"]), len(shared["validation"]), len(shared["test"])) == (3, 1, 4)
    one = [Item("v", 0, Path(), None, "validation"), *items]
    with pytest.raises(Gesture3dError, match="comes with a validation split already"):
        divided(one, validation_groups=("p2",))


def test_a_group_never_leaks_unless_the_protocol_has_it_so() -> None:
    items = [Item(str(n), 0, Path(), "anna", ("train", "test")[n % 2]) for n in range(4)]
    with pytest.raises(Gesture3dError, match="'anna' is in train and test"):
        divided(items)
    index = Index(NAMES, items, shared_groups=True)
    assert len(divided(items, index)["test"]) == 2
    with pytest.raises(Gesture3dError, match="no samples to train on"):
        divided(items, index, folds="leave_one_group_out")


def test_a_class_is_trained_where_it_is_tested() -> None:
    items = [Item("0", 0, Path(), None, "train"), Item("1", 1, Path(), None, "test")]
    with pytest.raises(Gesture3dError, match="class 'b' is in test but not in train"):
        check_classes(Index(NAMES, items), FolderData(name="folder"))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([Item("a", 0, Path()), Item("a", 1, Path())], "two samples with the key 'a'"),
        ([Item("a", 4, Path(), where="x.csv:2")], "x.csv:2: label 4; the 4 classes are 0 to 3"),
        ([Item("a", -2, Path())], "a: label -2"),
    ],
)
def test_what_no_index_may_have(items, message) -> None:
    with pytest.raises(Gesture3dError, match=message):
        Index(NAMES, items).check()


def test_a_set_without_samples_is_refused() -> None:
    with pytest.raises(Gesture3dError, match="has no samples"):
        divided([])
