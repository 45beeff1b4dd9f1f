from pathlib import Path

import pytest

from gesture3d.data.video.sets.jester import read_class_names, read_jester, read_list
from gesture3d.errors import Gesture3dError

LABELS = ["Swiping Left", "Swiping Right", "Turning Hand Clockwise", "No gesture"]


@pytest.fixture
def root(tmp_path) -> Path:
    """A set in Jester's layout with five clips, as files and as folders of frames."""
    write(tmp_path, "labels", *LABELS)
    write(tmp_path, "train", "1;Swiping Left", "2;No gesture")
    write(tmp_path, "validation", "3;Swiping Right")
    write(tmp_path, "test", "4", "5")
    clips = tmp_path / "20bn-jester-v1"
    for name in ("1.mp4", "2.webm", "3.avi"):
        (clips / name).parent.mkdir(exist_ok=True)
        (clips / name).touch()
    for name in ("4", "5"):
        (clips / name).mkdir()
    return tmp_path


def write(root: Path, name: str, *lines: str, end: str = "\n") -> None:
    (root / f"jester-v1-{name}.csv").write_text("".join(line + end for line in lines), newline="")


def refused(root: Path, *parts: str, modality: str = "rgb") -> None:
    with pytest.raises(Gesture3dError) as caught:
        read_jester(root, modality)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_the_official_layout(root):
    index = read_jester(root)
    assert index.class_names == tuple(LABELS)
    labels = {s: {c.key: c.label for c in clips} for s, clips in index.splits.items()}
    assert labels == {"train": {"1": 0, "2": 3}, "validation": {"3": 1}, "test": {"4": -1, "5": -1}}
    names = [clip.path.name for clip in index.items]
    assert names == ["1.mp4", "2.webm", "3.avi", "4", "5"]


def test_only_pairs_of_known_classes_are_mirrored(root):
    expected = {"Swiping Left": "Swiping Right", "Swiping Right": "Swiping Left"}
    assert read_jester(root).mirror == expected


def test_test_labels_are_used_where_they_are_known(root):
    write(root, "test-labels", "5;Swiping Left", "4;No gesture")
    assert {c.key: c.label for c in read_jester(root).splits["test"]} == {"5": 0, "4": 3}


def test_another_modality_lies_in_its_own_folder(root):
    (root / "20bn-jester-v1").rename(root / "depth")
    assert read_jester(root, "depth").splits["train"][0].path == root / "depth" / "1.mp4"
    refused(root, "no folder", "20bn-jester-v1")


def test_windows_line_ends_bom_and_empty_lines(root):
    expected = read_jester(root)
    write(root, "train", "\ufeff1;Swiping Left", "", "2;No gesture", "", "  ", end="\r\n")
    write(root, "labels", "\ufeff" + LABELS[0], *LABELS[1:], "", end="\r\n")
    assert read_jester(root).splits.keys() == expected.splits.keys()
    for split in expected.splits:
        assert read_jester(root).fingerprint(split) == expected.fingerprint(split)


def test_fingerprints_name_keys_and_labels(root):
    before = read_jester(root)
    write(root, "train", "2;No gesture", "1;Swiping Left")
    assert read_jester(root).fingerprint("train") == before.fingerprint("train")
    write(root, "train", "2;No gesture", "1;Swiping Right")
    assert read_jester(root).fingerprint("train") != before.fingerprint("train")


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (
            ["1;Swiping Left", "2;Swipping Left"],
            ["train.csv:2", "unknown label", "'Swiping Left'?"],
        ),
        (["1;Swiping Left", "", "1;No gesture"], ["train.csv:3", "id 1", "train.csv:1"]),
        (["1;Swiping Left", "3;No gesture"], ["validation.csv:1", "id 3", "train.csv:2"]),
        (["1"], ["train.csv:1", "expected 'id;label', found '1'"]),
        (["1;Swiping Left;x"], ["train.csv:1", "expected 'id;label'"]),
        ([";Swiping Left"], ["train.csv:1", "expected 'id;label'"]),
        (["1,Swiping Left"], ["train.csv:1", "expected 'id;label'"]),
    ],
)
def test_wrong_lines_are_named(root, lines, parts):
    write(root, "train", *lines)
    refused(root, *parts)


def test_missing_things_are_named(root, tmp_path):
    refused(tmp_path / "nowhere", "jester-v1-labels.csv is missing", "register", "--data synthetic")
    write(root, "train", *(f"{i};No gesture" for i in range(1, 2001) if not 3 <= i <= 5))
    refused(root, "1995 of 1997 clips are not in", "6, 7, 8, 9, 10, ...")
    write(root, "train", "1;No gesture")
    (root / "jester-v1-validation.csv").unlink()
    refused(root, "jester-v1-validation.csv is missing")
    write(root, "labels")
    refused(root, "no classes")
    write(root, "labels", "A", "A")
    refused(root, "'A' is listed twice")
    (root / "jester-v1-labels.csv").write_bytes(b"\xff\xfe\x00\x80")
    refused(root, "not a text file")


def test_the_official_lists(shared_data):
    lists = shared_data / "jester_lists"
    paths = {str(i): Path(f"{i}.mp4") for i in range(1, 148_093)}
    class_names = read_class_names(lists / "jester-v1-labels.csv")
    seen: dict[str, str] = {}
    counts = {}
    for split in ("train", "validation", "test"):
        path = lists / f"jester-v1-{split}.csv"
        counts[split] = len(read_list(path, lists, paths, class_names, seen, split != "test"))
    assert len(class_names) == 27
    assert counts == {"train": 118_562, "validation": 14_787, "test": 14_743}
    assert set(seen) == set(paths)


def test_two_files_of_one_id_are_refused_and_litter_is_none(root):
    clips = root / "20bn-jester-v1"
    (clips / "._1.mp4").touch()
    assert [c.path.name for c in read_jester(root).splits["train"]] == ["1.mp4", "2.webm"]
    (clips / "1.avi").touch()
    refused(root, "two clips of one id", "1.mp4", "1.avi")


def test_a_line_ends_where_a_line_ends(root):
    """Not at the other characters at which Python's splitlines ends lines."""
    name = "Swiping\u2028Left\x0b\x85up"
    for part, lines in (("labels", [name, *LABELS]), ("train", [f"1;{name}", "2;No gesture"])):
        path = root / f"jester-v1-{part}.csv"
        path.write_text("\r\n".join(lines), encoding="utf-8", newline="")
    index = read_jester(root)
    assert index.class_names[index.splits["train"][0].label] == name
