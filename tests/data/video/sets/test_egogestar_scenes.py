"""EgoGestAR by the names of its files."""

import pytest

from gesture3d.config import load_data
from gesture3d.data import read_index
from gesture3d.errors import Gesture3dError


def test_scenes_are_groups(shared_data, tmp_path) -> None:
    for folder in ("egogestar_video", "egogestar_hard"):
        (tmp_path / folder).symlink_to(shared_data / folder)
    data = load_data("egogestar_scenes", [f"data.root={tmp_path}", "data.cache_size=null"])
    index = read_index(data)
    splits = index.splits
    assert {name: len(clips) for name, clips in splits.items()} == {
        "train": 100,
        "validation": 57,
        "test": 0,
    }
    assert {clip.group for clip in splits["validation"]} == {"11", "12", "13", "14", "17", "18"}
    assert len(index.class_names) == 10
    one = load_data("egogestar", [f"data.root={shared_data / 'egogestar_video'}"])
    assert [c.key for c in read_index(one).of("train")] == [c.key for c in splits["train"]]


def test_names_say_class_and_serial(tmp_path) -> None:
    data = load_data("egogestar_scenes", [f"data.root={tmp_path}", "data.classes=[tick, up]"])
    with pytest.raises(Gesture3dError, match="no testvideo_<class>_<serial>"):
        read_index(data)
    for name in ("a/testvideo_tick_1.mp4", "a/testvideo_up_1.mp4", "b/testvideo_up_011.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "other.mp4").touch()
    found = read_index(data.model_copy(update={"validation_groups": ("11",)}))
    assert [(c.label, c.group, c.split) for c in found.items] == [
        (0, "1", "train"),
        (1, "1", "train"),
        (1, "11", "validation"),
    ]
