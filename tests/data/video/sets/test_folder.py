import errno
import os
from pathlib import Path

import pytest

from gesture3d.config import load_experiment
from gesture3d.data import build_datasets, read_index
from gesture3d.data.index import Index
from gesture3d.data.split import check_classes
from gesture3d.data.video.prepared.doctor import check_data
from gesture3d.data.video.prepared.open import build_cache
from gesture3d.data.video.sets.folder import FolderData
from gesture3d.errors import Gesture3dError
from tests.clips import square_folder


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def read(root: Path, **settings) -> Index:
    data = FolderData(name="folder", root=root, **settings)
    index = read_index(data, progress=False)
    check_classes(index, data)
    return index


def read_csv(root: Path, text: str, **settings) -> Index:
    (root / "clips.csv").write_text(text, encoding="utf-8", newline="")
    return read(root, csv=Path("clips.csv"), **settings)


def refused(call, *parts: str) -> None:
    with pytest.raises(Gesture3dError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def close(monkeypatch, folder: Path) -> None:
    """Make a folder one that may not be read, for whoever runs the tests (root may read all)."""
    scandir = os.scandir

    def closed(path):
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)


def keys(index: Index) -> dict[str, list[str]]:
    return {split: [clip.key for clip in clips] for split, clips in index.splits.items()}


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_per_class(tmp_path):
    names = [f"{c}/{i}.mp4" for c in ("wave", "stop") for i in range(10)]
    index = read(touch(tmp_path, *names, "wave/.hidden.mp4", "wave/notes.txt", "README.md"))
    assert index.class_names == ("stop", "wave")
    assert index.mirror is None
    assert sorted(clip.key for clip in index.items) == sorted(names)
    for split, count in (("train", 16), ("validation", 4), ("test", 0)):
        assert len(index.splits[split]) == count
        assert sum(clip.label for clip in index.splits[split]) == count / 2
    assert all(c.path == tmp_path / c.key for c in index.items)


def test_folders_of_frames_are_clips(tmp_path):
    touch(tmp_path, "a/1/00001.jpg", "a/2/00001.jpg", "b/1/00001.jpg", "b/2.avi")
    keys_found = sorted(clip.key for clip in read(tmp_path).items)
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
    assert {(c.key[0], c.label) for c in index.items} == {("c", 0), ("a", 1)}
    refused(lambda: read(tmp_path, classes=("a", "d")), "no class 'd'")


def test_bad_folders(tmp_path):
    refused(lambda: read(tmp_path / "none"), "no folder", "<class>/", "path,label")
    refused(lambda: read(tmp_path), "no samples")
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4")
    refused(lambda: read(tmp_path), "class 'b' has a single sample")
    touch(tmp_path, "c/notes.txt")
    refused(lambda: read(tmp_path), "c: no clips of this class")
    touch(tmp_path, "c/00001.jpg")
    refused(lambda: read(tmp_path), "c: holds frames")


def test_bad_splits_by_folders(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "test/a/1.mp4")
    refused(lambda: read(tmp_path), "class 'a' has a single sample")
    touch(tmp_path, "validation/b/1.mp4")
    refused(lambda: read(tmp_path), "class 'b' is in validation but not in train")


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_common_names_of_splits(tmp_path, name):
    touch(tmp_path, "Training/a/1.mp4", f"{name}/a/2.mp4", "testing/a/3.mp4", "__MACOSX/._a")
    assert keys(read(tmp_path)) == {
        "train": ["Training/a/1.mp4"],
        "validation": [f"{name}/a/2.mp4"],
        "test": ["testing/a/3.mp4"],
    }
    touch(tmp_path, "_dev/a/2.mp4")
    (tmp_path / "_dev").rename(tmp_path / ("val" if name != "val" else "dev"))
    refused(lambda: read(tmp_path), "are both of one split")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["wave/scene1/1.mp4", "stop/scene1/1.mp4"], "stop/scene1/1.mp4"),
        (["wave/1.mp4", "wave/more/2.mp4", "stop/1.mp4"], "wave/more/2.mp4"),
        (["train/a/1.mp4", "val/a/2.mp4", "annotations/list.txt"], "annotations"),
        (["p1/wave/1/00001.jpg", "p2/wave/1/00001.jpg"], "p1/wave/1"),
    ],
)
def test_another_layout_is_shown_beside_the_expected_one(tmp_path, names, found):
    touch(tmp_path, *names)
    refused(
        lambda: read(tmp_path),
        f"found {tmp_path / found}, expected {tmp_path}/<class>/<clip> or ",
        "{train,validation,test}/<class>/<clip>",
        "data.csv",
    )


def test_clips_in_no_class_are_said_and_the_expected_layout(tmp_path):
    touch(tmp_path, "1.mp4", "2.mp4", "cover.jpg")
    (tmp_path / "1.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    layout = f"expected {tmp_path}/<class>/<clip> or "
    refused(lambda: read(tmp_path), f"{tmp_path}: no samples", "out: 2 .mp4, 1 .jpg)", layout)


def test_what_is_left_out_is_counted(tmp_path, capsys):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in "ab" for i in range(2)), "README.md")
    touch(tmp_path, "a/notes.txt", "a/cover.jpg", "b/more.TXT", "b/._0.mp4", "b/Thumbs.db")
    touch(tmp_path, *(f"a/frames/{name}" for name in ("1.jpg", "2.jpg", "times.csv")))
    for name in ("IMG_1.heic", "frames/3.mp4"):
        (tmp_path / "a" / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    FolderData(name="folder", root=tmp_path).read()
    expected = "left out: 2 .txt, 1 .csv, 1 .jpg, 1 .md, 1 .mp4, 1 .heic (cannot be decoded)\n"
    assert capsys.readouterr().out == expected
    read(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_class_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    touch(tmp_path, *(f"{c}/{i}.mp4" for c in "abc" for i in range(2)))
    close(monkeypatch, tmp_path / "b")
    refused(lambda: read(tmp_path), f"{tmp_path / 'b'}: cannot be read: Permission denied")
    config = FolderData(name="folder", root=tmp_path, on_bad_clip="exclude")
    assert config.read().class_names == ("a", "c")
    assert f"{tmp_path / 'b'}: cannot be read" in capsys.readouterr().out


def test_a_class_by_two_names(tmp_path):
    touch(tmp_path, "a/1.mp4", "a/2.mp4")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    refused(lambda: read(tmp_path), f"{tmp_path / 'b'}: a link to a folder that is another class")


def test_one_clip_by_two_paths(tmp_path):
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    (tmp_path / "b" / "3.mp4").symlink_to(tmp_path / "a" / "1.mp4")
    config = FolderData(name="folder", root=tmp_path)
    refused(lambda: read_index(config), "'a/1.mp4' and 'b/3.mp4' are one file", "data.exclude")
    kept = read_index(config.model_copy(update={"exclude": ("b/3.mp4",)}))
    assert len(kept.items) == 4


def test_spellings_of_a_root_are_one(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    square_folder(tmp_path / "real" / "clips", clips_per_class=2, classes=2)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    spellings = ["real/clips", "./link/clips", tmp_path / "link/../real/clips", "link/clips/."]
    made = []
    for root in spellings:
        config = FolderData(name="folder", root=root, cache_size=24, num_frames=4, size=24)
        index = read_index(config)
        assert {clip.path.parents[1] for clip in index.items} == {tmp_path / "real/clips"}
        cache = build_cache(index, config, progress=False)
        _, diagnosis = check_data(config, 1, progress=False)
        assert diagnosis.num_reused == (4 if made else 0)
        states = [(p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*.bin")]
        made.append((cache.path, states))
    assert len(states) == 1
    assert made == made[:1] * 4


def test_links_keep_their_names(tmp_path):
    """A clip may be a link to a file without a suffix, as in stores by content."""
    touch(tmp_path, "store/x1", "store/x2")
    (tmp_path / "set" / "a").mkdir(parents=True)
    for n in (1, 2):
        (tmp_path / "set" / "a" / f"{n}.mp4").symlink_to(tmp_path / "store" / f"x{n}")
    index = read_index(FolderData(name="folder", root=tmp_path / "set"))
    assert sorted(c.path.name for c in index.items) == ["1.mp4", "2.mp4"]


def test_a_class_whose_only_clips_to_train_on_are_excluded(tmp_path, monkeypatch):
    touch(tmp_path, *(f"train/{c}/1.mp4" for c in "ab"), *(f"val/{c}/2.mp4" for c in "ab"))
    settings = {"name": "folder", "root": tmp_path, "exclude": ("train/a/1.mp4",)}
    refused(lambda: read_index(FolderData(**settings)), "no sample of class 'a' to train on")
    assert read_index(FolderData(**settings, classes=("b",))).class_names == ("b",)
    square_folder(tmp_path / "broken" / "train", clips_per_class=1, classes=2)
    square_folder(tmp_path / "broken" / "val", clips_per_class=1, classes=2)
    (tmp_path / "broken" / "train" / "left" / "0.mp4").write_bytes(b"broken")
    monkeypatch.chdir(tmp_path)  # where the cache goes
    broken = {"name": "folder", "root": tmp_path / "broken", "cache_size": 16}
    refused(
        lambda: build_datasets(FolderData(**broken, on_bad_clip="exclude"), 0, progress=False),
        "data.on_bad_clip=exclude leaves no sample of class 'left'",
    )


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
    names = {clip.path.relative_to(tmp_path).as_posix() for clip in index.items}
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
    refused(lambda: read_csv(tmp_path, text, validation_groups=("p7",)), "no group 'p7'")
    refused(lambda: read_csv(tmp_path, text, validation_groups=("p1",), test_groups=("p1",)), "p1")


@pytest.mark.parametrize("separator", [";", "\t", "; ", ","])
def test_what_separates_the_columns_is_recognised(tmp_path, separator):
    touch(tmp_path, "1.mp4", "2, with a comma.mp4", "3.mp4")
    rows = [("path", "label", "split"), ("1.mp4", "a", "train"), ("3.mp4", "a", "test")]
    rows.append(('"2, with a comma.mp4"', "a", "val"))
    index = read_csv(tmp_path, "".join(separator.join(row) + "\n" for row in rows))
    expected = {"train": ["1.mp4"], "validation": ["2, with a comma.mp4"], "test": ["3.mp4"]}
    assert keys(index) == expected


CLIPS = "1.mp4,a\n2.mp4,a\n3.mp4,b\n4.mp4,b\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no column 'path'"]),
        ("path,label\n", ["no samples in it"]),
        ("path;name\n1.mp4;a\n", ["no column 'path' in its header 'path;name'. Expected"]),
        ("paths,label\n1.mp4,a\n", ["no column 'path' in its header", "Did you mean 'paths'?"]),
        ("file,label\n" + CLIPS, ["no column 'path' in its header 'file,label'"]),
        ("path,label,splt\n1.mp4,a,x\n", ["unknown column 'splt'", "'split'?"]),
        ("path,label\n1.mp4,a,train\n", [", line 2", "3 cells, 2 columns"]),
        ("path,label\n1.mp4\n", [", line 2", "1 cells, 2 columns"]),
        ("path,label\n" + CLIPS + "./1.mp4,b\n", [":6", "./1.mp4", "line 2"]),
        ("path,label\n1.mp4,\n", [":2", "empty path or label"]),
        ("path,label\n" + CLIPS + "8.mp4,a\n9.mp4,a\n", ["2 of 6 samples do not exist: 8.mp4"]),
        ("path,label,split\n1.mp4,a,train\n2.mp4,a,vla\n", [":3", "split 'vla'", "validation"]),
        ("path,label\n" + CLIPS + "link.mp4,b\n", [":6", "link.mp4", "line 2, by another path"]),
        ("path,label\n\0.mp4,a\n", ["1 of 1 samples do not exist"]),
        (f"path,label\n{'x' * 300}.mp4,a\n", ["1 of 1 samples do not exist"]),
        (f"path,label,frames\n1.mp4,a,{'9' * 5000}\n", [":2", "is no whole number"]),
        ("path,label,split\n1.mp4,a,train\n", ["class 'a' has a single sample"]),
        ("path,label,split\n1.mp4,a,validation\n", ["no samples to train on"]),
        ("path,label,split\n1.mp4,a,train\n3.mp4,b,validation\n", ["'b' is in validation"]),
        ("path,label,group\n1.mp4,a,\n", [":2", "empty group"]),
        (
            "path,label,split,group\n1.mp4,a,train,p\n2.mp4,a,validation,p\n",
            ["group 'p' is in train and validation"],
        ),
        ("path,label\n1.mp4,a\n2.mp4,a\n3.mp4,b\n", ["class 'b' has a single sample"]),
        ('path,label\n"1.mp4,a\n', ["not a CSV"]),
    ],
)
def test_bad_csvs(tmp_path, text, parts):
    touch(tmp_path, *(f"{i}.mp4" for i in range(1, 5)))
    (tmp_path / "link.mp4").symlink_to(tmp_path / "1.mp4")
    refused(lambda: read_csv(tmp_path, text), "clips.csv" if ":" in parts[0] else "", *parts)


def test_other_bad_settings(tmp_path):
    touch(tmp_path, *(f"{i}.mp4" for i in range(1, 5)))
    refused(lambda: read(tmp_path, csv=Path("no.csv")), "no file no.csv")
    text = "path,label\n" + CLIPS
    refused(lambda: read_csv(tmp_path, text, validation_groups=("p",)), "it has none")
    text = "path,label,split\n1.mp4,a,train\n2.mp4,a,validation\n"
    refused(
        lambda: read_csv(tmp_path, text, validation_groups=("p",)), "a validation split already"
    )
    (tmp_path / "clips.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    refused(lambda: read(tmp_path, csv=Path("clips.csv")), "not a text file in UTF-8")


def test_egogestar_is_split_by_serial(shared_data):
    config = load_experiment("variant_a", "egogestar").data
    config = config.model_copy(update={"root": shared_data / "egogestar_video"})
    index = read_index(config)
    assert [len(clips) for clips in index.splits.values()] == [100, 40, 0]
    assert len(index.class_names) == 10
    assert {clip.group for clip in index.splits["validation"]} == {"11", "12", "13", "14"}
