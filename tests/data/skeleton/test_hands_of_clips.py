"""Sets of clips that are read by the hands in them; the networks are stand-ins."""

from pathlib import Path

import numpy as np
import pytest

from gesture3d.cli import prepare
from gesture3d.config import load_data
from gesture3d.data import build_datasets, read_index
from gesture3d.data.skeleton import hands
from gesture3d.data.video.prepared import joints
from gesture3d.errors import Gesture3dError
from gesture3d.hands import weights
from gesture3d.hands.features import NUM_FEATURES
from gesture3d.hands.tracker import HandTracker
from tests.clips import write_clip
from tests.hands.painted import GREEN, RED, PalmStandIn, landmarks, paint
from tests.net import layouts


@pytest.fixture(autouse=True)
def painted_hands(monkeypatch) -> None:
    tracker = HandTracker(networks=(PalmStandIn(), landmarks))
    monkeypatch.setattr(joints, "_tracker", lambda size: tracker)
    monkeypatch.setattr(hands, "_tracker", lambda: tracker)


def swipe(path: Path, step: float, colour=RED) -> Path:
    frames = [paint((60 + step * (t - 4), 60, colour)) for t in range(9)]
    return write_clip(path, np.stack(frames))


def in_jesters_layout(root: Path) -> None:
    steps = {"Swiping Left": -6, "Swiping Right": 6}
    (root / "jester-v1-labels.csv").write_text("".join(f"{name}\n" for name in steps))
    number = 0
    for split in ("train", "validation", "test"):
        lines = []
        for name, step in steps.items():
            number += 1
            swipe(root / "20bn-jester-v1" / f"{number}.mp4", step)
            lines.append(f"{number};{name}\n" if split != "test" else f"{number}\n")
        (root / f"jester-v1-{split}.csv").write_text("".join(lines))


def test_a_set_in_jesters_layout_is_read_by_its_hands(tmp_path) -> None:
    in_jesters_layout(tmp_path)
    data = load_data("jester_hands", [f"data.root={tmp_path}"])
    datasets = build_datasets(data, seed=0, progress=False)
    assert datasets.spec.shape == (32, NUM_FEATURES)
    assert datasets.class_names == ("Swiping Left", "Swiping Right")
    assert sorted(path.name for path in (tmp_path / "hands").glob("*.npz")) == [
        f"{number}.npz" for number in range(1, 7)
    ]
    left, right = (datasets.validation[number].inputs for number in range(2))
    assert left[-1, 0] < left[0, 0]  # the palm's course along x
    assert right[-1, 0] > right[0, 0]


def test_isogd_is_read_by_its_hands(tmp_path) -> None:
    layouts.isogd(tmp_path)
    datasets = build_datasets(load_data("isogd_hands", [f"data.root={tmp_path}"]), 0, False)
    key = datasets.train.keys[0]
    assert key.startswith("train/001/")
    assert (tmp_path / "hands" / f"{key}.npz").is_file()
    assert datasets.train[0].inputs.shape == (32, NUM_FEATURES)


def test_a_network_of_hands_takes_clips_tracks_and_mirrors(tmp_path) -> None:
    clip = swipe(tmp_path / "clip.mp4", 6, GREEN)
    data = load_data("synthetic_hands")
    found = data.load(clip)
    assert found.shape == (32, NUM_FEATURES)
    track = joints.read_track(clip, joints._tracker("lite"))
    track.save(tmp_path / "clip.npz")
    assert data.load(tmp_path / "clip.npz").equal(found)
    turned = load_data("synthetic_hands", ["data.mirrored_camera=true"]).load(clip)
    np.testing.assert_allclose(turned[:, 0], -found[:, 0], atol=1e-4)
    assert {".mp4", ".npz"} <= data.suffixes


def test_a_clip_without_hands_is_named(tmp_path) -> None:
    write_clip(tmp_path / "empty.mp4", np.stack([paint()] * 5))
    with pytest.raises(Gesture3dError, match=r"empty\.mp4: a hand is seen in 0 of 5 frames"):
        load_data("hand_folder").load(tmp_path / "empty.mp4")


def test_scenes_in_a_class_are_no_clips(tmp_path) -> None:
    for name in ("left", "right"):
        swipe(tmp_path / name / "kitchen" / "1.mp4", 6)
    with pytest.raises(Gesture3dError, match=r"left/kitchen/1\.mp4, expected .*/<class>/<clip>"):
        read_index(load_data("hand_folder", [f"data.root={tmp_path}"]), progress=False)


def test_hands_of_shards_are_the_hands(tmp_path, monkeypatch, capsys) -> None:
    root = tmp_path / "clips"
    for name, step in {"left": -6, "right": 6}.items():
        for number in range(3):
            swipe(root / name / f"{number}.mp4", step, RED if number else GREEN)
    monkeypatch.setattr(weights, "find_weights", lambda name: None)

    def run(place: str, *more: str) -> dict[str, bytes]:
        settings = ("--set", f"data.root={root}", "--out", str(tmp_path / place))
        words = ["prepare.py", "joints", "--data", "folder", *settings, "--workers", "1", *more]
        monkeypatch.setattr("sys.argv", words)
        assert prepare.main() == 0
        files = (tmp_path / place).rglob("*.npz")
        return {path.relative_to(tmp_path / place).as_posix(): path.read_bytes() for path in files}

    assert len(run("parts", "--shard", "1/2")) == 3
    assert len(run("parts", "--shard", "0/2")) == 6
    assert not (tmp_path / "parts" / "hands.csv").exists()
    capsys.readouterr()
    parts = run("parts")
    assert "hands of 6 clips, in 100.0% of 54 frames" in capsys.readouterr().out
    assert parts == run("whole")
    seen = [(tmp_path / place / "hands.csv").read_text() for place in ("parts", "whole")]
    assert seen[0] == seen[1]
