from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gesture3d.config import FolderData, load_experiment
from gesture3d.data.folder import read_folder
from gesture3d.data.index import Clip, ClipIndex
from gesture3d.data.split import check_splits, split_by_shares
from gesture3d.errors import Gesture3dError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def read(root: Path, **settings) -> ClipIndex:
    return read_folder(FolderData(name="folder", root=root, **settings))


def read_csv(root: Path, text: str, **settings) -> ClipIndex:
    (root / "clips.csv").write_text(text, encoding="utf-8", newline="")
    return read(root, csv=Path("clips.csv"), **settings)


def refused(call, *parts: str) -> None:
    with pytest.raises(Gesture3dError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def keys(index: ClipIndex) -> dict[str, list[str]]:
    return {split: [clip.key for clip in clips] for split, clips in index.splits.items()}


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_per_class(tmp_path):
    names = [f"{c}/{i}.mp4" for c in ("wave", "stop") for i in range(10)]
    index = read(touch(tmp_path, *names, "wave/.hidden.mp4", "wave/notes.txt", "README.md"))
    assert index.class_names == ("stop", "wave")
    assert index.mirror is None
    assert sorted(clip.key for clip in index.all_clips()) == sorted(names)
    for split, count in (("train", 16), ("validation", 4), ("test", 0)):
        assert len(index.splits[split]) == count
        assert sum(clip.label for clip in index.splits[split]) == count / 2
    assert all(c.path == tmp_path / c.key for c in index.all_clips())


def test_folders_of_frames_are_clips(tmp_path):
    touch(tmp_path, "a/1/00001.jpg", "a/2/00001.jpg", "b/1/00001.jpg", "b/2.avi")
    keys_found = sorted(clip.key for clip in read(tmp_path).all_clips())
    assert keys_found == ["a/1", "a/2", "b/1", "b/2.avi"]


def test_folders_that_name_the_split(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "validation/a/2.mp4", "test/b/1.mp4")
    expected = {
        "train": ["train/a/1.mp4", "train/b/1.mp4"],
        "validation": ["validation/a/2.mp4"],
        "test": ["test/b/1.mp4"],
    }
    assert keys(read(tmp_path)) == expected


def test_a_choice_of_classes(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in "abc" for i in range(3)))
    index = read(tmp_path, classes=("c", "a"))
    assert index.class_names == ("c", "a")
    assert {(c.key[0], c.label) for c in index.all_clips()} == {("c", 0), ("a", 1)}
    refused(lambda: read(tmp_path, classes=("a", "d")), "no clips of class 'd'")


def test_bad_folders(tmp_path):
    refused(lambda: read(tmp_path / "none"), "no folder", "<class>/<clip>", "path,label")
    refused(lambda: read(tmp_path), "no clips")
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4")
    refused(lambda: read(tmp_path), "class 'b' has a single clip")
    touch(tmp_path, "c/notes.txt")
    refused(lambda: read(tmp_path), "c: no clips of this class")
    touch(tmp_path, "c/00001.jpg")
    refused(lambda: read(tmp_path), "c: holds frames")


def test_bad_splits_by_folders(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "test/a/1.mp4")
    refused(lambda: read(tmp_path), "no clips for validation")
    touch(tmp_path, "validation/b/1.mp4")
    refused(lambda: read(tmp_path), "class 'b' is in validation but not in train")


# --- a CSV --------------------------------------------------------------------------------------


def test_a_csv_with_splits(tmp_path):
    touch(tmp_path, "x/1.mp4", "x/2.mp4", "y.avi")
    text = (
        "\ufeffpath, label, split\r\nx\\1.mp4,a,train\r\nx/2.mp4,a,validation\r\ny.avi,b,train\r\n"
    )
    index = read_csv(tmp_path, text)
    assert keys(index) == {"train": ["x/1.mp4", "y.avi"], "validation": ["x/2.mp4"], "test": []}
    assert index.class_names == ("a", "b")


def test_paths_are_relative_to_the_csv_or_to_root(tmp_path):
    touch(tmp_path, "clips/1.mp4", "clips/2.mp4", "lists/3.mp4")
    table = tmp_path / "lists" / "clips.csv"
    table.write_text("path,label,split\n1.mp4,a,train\n3.mp4,a,train\n2.mp4,a,validation\n")
    index = read(tmp_path / "clips", csv=table)
    names = {clip.path.relative_to(tmp_path).as_posix() for clip in index.all_clips()}
    assert names == {"clips/1.mp4", "clips/2.mp4", "lists/3.mp4"}


def test_groups_are_held_out_by_name(tmp_path):
    touch(tmp_path, *(f"{i}.mp4" for i in range(6)))
    text = "path,label,group\n" + "".join(f"{i}.mp4,{'ab'[i % 2]},p{i // 2}\n" for i in range(6))
    index = read_csv(tmp_path, text, validation_groups=("p1",), test_groups=("p2",))
    expected = {
        "train": ["0.mp4", "1.mp4"],
        "validation": ["2.mp4", "3.mp4"],
        "test": ["4.mp4", "5.mp4"],
    }
    assert keys(index) == expected
    refused(lambda: read_csv(tmp_path, text, validation_groups=("p7",)), "no clips of group 'p7'")
    refused(
        lambda: read_csv(tmp_path, text, validation_groups=("p1",), test_groups=("p1",)), "twice"
    )


CLIPS = "1.mp4,a\n2.mp4,a\n3.mp4,b\n4.mp4,b\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no column 'path'"]),
        ("path,label\n", ["no clips in it"]),
        ("path;label\n1.mp4;a\n", ["no column 'path' in its header 'path;label'"]),
        ("file,label\n" + CLIPS, ["no column 'path' in its header 'file,label'"]),
        ("path,label,splt\n1.mp4,a,x\n", ["unknown or double column 'splt'", "'split'?"]),
        ("path,label\n1.mp4,a,train\n", [":2", "expected 2 columns"]),
        ("path,label\n1.mp4\n", [":2", "expected 2 columns"]),
        ("path,label\n" + CLIPS + "./1.mp4,b\n", [":6", "./1.mp4", "line 2"]),
        ("path,label\n1.mp4,\n", [":2", "empty path or label"]),
        ("path,label\n" + CLIPS + "8.mp4,a\n9.mp4,a\n", ["2 of 6 clips do not exist: 8.mp4"]),
        ("path,label,split\n1.mp4,a,train\n2.mp4,a,val\n", [":3", "split 'val'", "validation"]),
        ("path,label,split\n1.mp4,a,train\n", ["no clips for validation"]),
        ("path,label,split\n1.mp4,a,validation\n", ["no clips for train"]),
        ("path,label,split\n1.mp4,a,train\n3.mp4,b,validation\n", ["'b' is in validation"]),
        ("path,label,group\n1.mp4,a,\n", [":2", "empty group"]),
        (
            "path,label,split,group\n1.mp4,a,train,p\n2.mp4,a,validation,p\n",
            ["group 'p' is in train and validation"],
        ),
        ("path,label\n1.mp4,a\n2.mp4,a\n3.mp4,b\n", ["class 'b' has a single clip"]),
        ('path,label\n"1.mp4,a\n', ["not a CSV"]),
    ],
)
def test_bad_csvs(tmp_path, text, parts):
    touch(tmp_path, *(f"{i}.mp4" for i in range(1, 5)))
    refused(lambda: read_csv(tmp_path, text), "clips.csv" if ":" in parts[0] else "", *parts)


def test_other_bad_settings(tmp_path):
    touch(tmp_path, *(f"{i}.mp4" for i in range(1, 5)))
    refused(lambda: read(tmp_path, csv=Path("no.csv")), "no file no.csv")
    text = "path,label\n" + CLIPS
    refused(lambda: read_csv(tmp_path, text, validation_groups=("p",)), "have no groups")
    text = "path,label,split\n1.mp4,a,train\n2.mp4,a,validation\n"
    refused(lambda: read_csv(tmp_path, text, validation_groups=("p",)), "a split already")
    (tmp_path / "clips.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    refused(lambda: read(tmp_path, csv=Path("clips.csv")), "not a CSV in UTF-8")


def test_egogestar_is_split_by_serial(shared_data):
    config = load_experiment("variant_a", "egogestar").data
    config = config.model_copy(update={"root": shared_data / "egogestar_video"})
    index = read_folder(config)
    assert [len(clips) for clips in index.splits.values()] == [100, 40, 0]
    assert len(index.class_names) == 10
    assert {clip.group for clip in index.splits["validation"]} == {"11", "12", "13", "14"}


# --- splitting ----------------------------------------------------------------------------------


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
        Clip(f"{i}", Path(f"{i}"), label, f"g{group}" if grouped else None)
        for i, (label, group) in enumerate(rows)
    ]
    splits = split_by_shares(clips, tuple("abcd"), 0.2, share, seed)
    assert splits == split_by_shares(clips, tuple("abcd"), 0.2, share, seed)
    assert sorted(c.key for s in splits.values() for c in s) == sorted(c.key for c in clips)
    assert {c.label for c in splits["train"]} == {c.label for c in clips}
    if splits["validation"]:
        check_splits(splits, tuple("abcd"), Path("here"))  # no group in two splits
    if not grouped:
        for label in {c.label for c in clips}:
            count = sum(c.label == label for c in clips)
            found = sum(c.label == label for c in splits["validation"])
            assert abs(found - max(1, 0.2 * count)) <= 1


def test_a_new_clip_moves_few_others():
    clips = [Clip(f"clip{i}", Path(f"{i}"), i % 4) for i in range(200)]
    before = split_by_shares(clips[:-1], tuple("abcd"), 0.2, 0.1, 0)
    after = split_by_shares(clips, tuple("abcd"), 0.2, 0.1, 0)
    for split in before:
        assert len(set(before[split]) ^ set(after[split])) <= 3
