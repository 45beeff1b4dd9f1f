import pytest

from gesture3d.config import JesterData
from gesture3d.data.index import Clip, ClipIndex
from gesture3d.data.subset import choose_subset, excluded_keys, list_line, without
from gesture3d.errors import Gesture3dError

NAMES = ("a", "b", "c")


@pytest.fixture
def index(tmp_path) -> ClipIndex:
    def clips(split: str, count: int) -> list[Clip]:
        return [
            Clip(f"{split}{n}", tmp_path / f"{n}.mp4", n % 3 if split != "test" else -1)
            for n in range(count)
        ]

    splits = {"train": clips("train", 30), "validation": clips("validation", 6)}
    return ClipIndex(NAMES, splits | {"test": clips("test", 3)}, {"a": "b", "b": "a"})


def config(**values) -> JesterData:
    return JesterData(name="jester", **values)


def test_classes_are_numbered_in_the_order_asked_for(index):
    chosen = choose_subset(index, config(classes=("c", "a")))
    assert chosen.class_names == ("c", "a")
    original = {clip.key: NAMES[clip.label] for clip in index.all_clips()}
    for split in ("train", "validation"):
        named = {clip.key: chosen.class_names[clip.label] for clip in chosen.splits[split]}
        assert named == {
            c.key: original[c.key] for c in index.splits[split] if original[c.key] != "b"
        }
    assert chosen.splits["test"] == []  # withheld labels: nobody knows which classes these are
    assert chosen.mirror is None  # "a" would become "b", which is left out
    assert choose_subset(index, config(classes=("b", "a"))).mirror == {"a": "b", "b": "a"}
    assert choose_subset(index, config(classes=("c",))).mirror == {}


def test_few_shots_are_stable_nested_and_differ_by_seed(index):
    def keys(**values) -> set[str]:
        return {clip.key for clip in choose_subset(index, config(**values)).splits["train"]}

    three = keys(few_shot=3)
    assert len(three) == 9
    assert three < keys(few_shot=4)
    assert keys(few_shot=3, classes=("b",)) < three  # whatever classes are chosen
    assert keys(few_shot=3, subset_seed=1) != three
    reversed_list = {s: clips[::-1] for s, clips in index.splits.items()}
    again = choose_subset(ClipIndex(NAMES, reversed_list), config(few_shot=3))
    assert {clip.key for clip in again.splits["train"]} == three
    assert again.splits["validation"] == reversed_list["validation"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": ("a", "bb")}, "no class 'bb'"),
        ({"classes": ("a", "a")}, "'a' is named twice"),
        ({"few_shot": 11}, "class 'a' has only 10 training clips"),
    ],
)
def test_impossible_subsets_are_refused(index, values, message):
    with pytest.raises(Gesture3dError, match=message):
        choose_subset(index, config(**values))


def test_clips_are_excluded_by_name_and_by_file(index, tmp_path):
    listed = tmp_path / "bad.txt"
    listed.write_text("# found by a check\ntrain1\tdata/1.mp4: is empty\n\ntrain2\n#one/1\tbad\n")
    keys = excluded_keys(config(exclude=("train0",), exclude_list=listed))
    assert keys == {"#one/1", "train0", "train1", "train2"}
    left = [clip.key for clip in without(index, keys - {"#one/1"}).splits["train"]]
    assert left == [f"train{n}" for n in range(3, 30)]
    with pytest.raises(Gesture3dError, match="no clip 'train99'"):
        without(index, {"train99"})
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
