from pathlib import Path

import pytest

from gesture3d.config import load_data, load_experiment
from gesture3d.data import read_index
from gesture3d.data.video.sets.isogd import LISTS, read_isogd, read_list
from gesture3d.errors import Gesture3dError


@pytest.fixture
def root(tmp_path) -> Path:
    """A set in IsoGD's layout: two training clips, one of each other split, rgb and depth."""
    write(tmp_path, "train", (1, 26), (2, 19))
    write(tmp_path, "validation", (1, 249))
    write(tmp_path, "test", (1, 0))
    for folder in ("train", "valid", "test"):
        for letter in "MK":
            for number in (1, 2):
                path = tmp_path / folder / "001" / f"{letter}_{number:05}.avi"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return tmp_path


def line(folder: str, number: int, label: int) -> str:
    return f"{folder}/001/M_{number:05}.avi {folder}/001/K_{number:05}.avi {label}"


def write(root: Path, split: str, *clips: tuple[int, int]) -> None:
    name = LISTS[split]
    folder = name.split("_")[0]
    (root / name).write_text("".join(line(folder, *clip) + "\n" for clip in clips))


def refused(root: Path, *parts: str) -> None:
    with pytest.raises(Gesture3dError) as caught:
        read_isogd(root)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_the_official_layout_in_both_modalities(root):
    rgb, depth = read_isogd(root), read_isogd(root, "depth")
    assert {s: [(c.key, c.label) for c in clips] for s, clips in rgb.splits.items()} == {
        "train": [("train/001/00001", 25), ("train/001/00002", 18)],
        "validation": [("valid/001/00001", 248)],
        "test": [("test/001/00001", -1)],
    }
    assert rgb.splits["train"][0].path == root / "train/001/M_00001.avi"
    assert depth.splits["train"][0].path == root / "train/001/K_00001.avi"
    assert [c.key for c in depth.items] == [c.key for c in rgb.items]
    assert rgb.class_names[25] == "26"


def test_extracted_frames_lie_in_a_folder_of_the_clips_name(root):
    (root / "train/001/M_00001.avi").unlink()
    (root / "train/001/M_00001").mkdir()
    assert read_isogd(root).splits["train"][0].path == root / "train/001/M_00001"


def test_windows_paths_line_ends_and_bom(root):
    expected = read_isogd(root)
    path = root / "train_list.txt"
    text = path.read_text().replace("/", "\\").replace("\n", "\r\n")
    path.write_text("\ufeff" + text + "\r\n", newline="")
    assert read_isogd(root) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (line("train", 1, 250), ["train_list.txt:1", "unknown label 250", "1 to 249"]),
        (f"{line('train', 1, 3)}\n{line('train', 1, 4)}", ["_list.txt:2", "listed already", ":1"]),
        ("train/001/M_00001.avi 3", ["train_list.txt:1", "expected '<RGB clip> <depth clip>"]),
        (line("train", 1, 3) + "x", ["train_list.txt:1", "expected"]),
        ("\n".join(line("train", n, 3) for n in range(1, 9)), ["6 of 8 clips", "M_00003.avi"]),
        (f"train/001/M_1.avi train/001/K_1.avi {'1' * 5000}", ["_list.txt:1", "expected"]),
        ("train/\0/M_1.avi train/\0/K_1.avi 1", ["1 of 1 clips"]),
        (f"{'x' * 300}/M_1.avi {'x' * 300}/K_1.avi 1", ["1 of 1 clips"]),
        ("\x80", ["not a text file in UTF-8"]),
    ],
)
def test_wrong_lists_are_named(root, text, parts):
    (root / "train_list.txt").write_bytes(text.encode("latin1"))
    refused(root, *parts)


def test_a_missing_list_says_where_to_register(root):
    (root / "valid_list.txt").unlink()
    refused(root, "valid_list.txt is missing", "register")


def test_a_missing_clip_may_be_excluded_by_name(root):
    write(root, "train", (1, 26), (2, 26))
    (root / "train/001/M_00002.avi").unlink()
    refused(root, "1 of 2 clips", "train/001/M_00002.avi")
    config = load_data("isogd_rgb", [f"data.root={root}", "data.exclude=[train/001/00002]"])
    assert [c.key for c in read_index(config).splits["train"]] == ["train/001/00001"]


def test_the_official_lists(shared_data):
    seen: dict[str, str] = {}
    lists = {s: read_list(shared_data / "isogd_lists" / name, seen) for s, name in LISTS.items()}
    assert {split: len(rows) for split, rows in lists.items()} == {
        "train": 35_878,
        "validation": 5_784,
        "test": 6_271,
    }
    assert {label for *_, label in lists["train"]} == set(range(249))
    assert {label for *_, label in lists["test"]} == {-1}
    assert lists["train"][0][:3] == (
        "train/001/00001",
        "train/001/M_00001.avi",
        "train/001/K_00001.avi",
    )


@pytest.mark.parametrize("modality", ["rgb", "depth", "flow"])
def test_the_recipes_are_the_papers(modality):
    experiment = load_experiment("variant_a", f"isogd_{modality}")
    assert experiment.data.modality == modality
    assert experiment.data.num_channels == 3  # as the network for Jester that it starts from
    assert (experiment.data.num_frames, experiment.data.size) == (32, 112)
    assert (experiment.train.batch_size, experiment.train.epochs) == (8, 15)
    assert experiment.model.channel_means[0] == {"rgb": 112, "depth": 127, "flow": 128}[modality]
