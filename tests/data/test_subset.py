from dataclasses import replace

import pytest

from gesture3d.data.index import Index, Item
from gesture3d.data.subset import (
    excluded_keys,
    few_shots,
    list_line,
    only_classes,
    refuse_unknown,
    without,
)
from gesture3d.data.video.sets.jester import JesterData
from gesture3d.errors import Gesture3dError

NAMES = ("a", "b", "c")


@pytest.fixture
def index(tmp_path) -> Index:
    items = [
        Item(f"{split}{n}", n % 3 if split != "test" else -1, tmp_path / f"{n}.mp4", split=split)
        for split, count in (("train", 30), ("validation", 6), ("test", 3))
        for n in range(count)
    ]
    return Index(NAMES, items, mirror={"a": "b", "b": "a"})


def config(**values) -> JesterData:
    return JesterData(name="jester", **values)


def test_classes_are_numbered_in_the_order_asked_for(index):
    chosen = only_classes(index, ("c", "a"))
    assert chosen.class_names == ("c", "a")
    original = {item.key: NAMES[item.label] for item in index.items}
    for split in ("train", "validation"):
        named = {item.key: chosen.class_names[item.label] for item in chosen.of(split)}
        assert named == {i.key: original[i.key] for i in index.of(split) if original[i.key] != "b"}
    assert chosen.of("test") == []  # withheld labels: nobody knows which classes these are
    assert chosen.mirror is None  # "a" would become "b", which is left out
    assert only_classes(index, ("b", "a")).mirror == {"a": "b", "b": "a"}
    assert only_classes(index, ("c",)).mirror == {}
    assert only_classes(index, None) is index


def test_few_shots_are_stable_nested_and_differ_by_seed(index):
    def keys(count: int, seed: int = 0, classes: tuple[str, ...] | None = None) -> set[str]:
        return {
            item.key for item in few_shots(only_classes(index, classes), count, seed).of("train")
        }

    three = keys(3)
    assert len(three) == 9
    assert three < keys(4)
    assert keys(3, classes=("b",)) < three  # whatever classes are chosen
    assert keys(3, seed=1) != three
    again = few_shots(replace(index, items=index.items[::-1]), 3, 0)
    assert {item.key for item in again.of("train")} == three
    assert again.of("validation") == index.of("validation")[::-1]
    assert few_shots(index, None, 0) is index


@pytest.mark.parametrize(
    ("classes", "count", "message"),
    [
        (("a", "bb"), None, "no class 'bb'"),
        (("a", "a"), None, "'a' is named twice"),
        (None, 11, "class 'a' has only 10 training samples"),
    ],
)
def test_impossible_subsets_are_refused(index, classes, count, message):
    with pytest.raises(Gesture3dError, match=message):
        few_shots(only_classes(index, classes), count, 0)


def test_samples_are_excluded_by_name_and_by_file(index, tmp_path):
    listed = tmp_path / "bad.txt"
    listed.write_text("# found by a check\ntrain1\tdata/1.mp4: is empty\n\ntrain2\n#one/1\tbad\n")
    keys = excluded_keys(config(exclude=("train0",), exclude_list=listed))
    assert keys == {"#one/1", "train0", "train1", "train2"}
    left = [item.key for item in without(index, keys).of("train")]
    assert left == [f"train{n}" for n in range(3, 30)]
    with pytest.raises(Gesture3dError, match="no sample 'train99'"):
        refuse_unknown({"train99"}, index)
    with pytest.raises(Gesture3dError, match="cannot read"):
        excluded_keys(config(exclude_list=tmp_path / "none.txt"))


ODD = [
    *("a\tb", "a\nb", "a\rb", "a\u2028b", "a\x0bb", " a ", "#a", '"a"', "a\udcff", "\x1b[2J"),
    *("ü,;|", "'"),
]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_keys_with_odd_letters_come_back_from_our_lists(tmp_path, ending):
    text = "".join(list_line(key, f"/x/{key}: reason\twith\ntabs") for key in [*ODD, "plain/1.mp4"])
    assert "\nplain/1.mp4\t/x/plain" in text  # as ever
    listed = tmp_path / "bad.txt"
    listed.write_text(text, encoding="utf-8", newline=ending)
    assert excluded_keys(config(exclude_list=listed)) == {*ODD, "plain/1.mp4"}


def test_lines_without_a_key_are_refused(tmp_path):
    listed = tmp_path / "bad.txt"
    listed.write_text("train0\n\t/x/1.mp4: damaged\n")
    with pytest.raises(Gesture3dError, match=r"bad\.txt:2: no key before the tab"):
        excluded_keys(config(exclude_list=listed))
