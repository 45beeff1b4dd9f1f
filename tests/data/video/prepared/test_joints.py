"""Hands of whole sets of clips, kept beside them; the networks are stand-ins."""

import csv

import cv2
import numpy as np
import pytest

from gesture3d.cli import prepare
from gesture3d.data.index import Index, Item
from gesture3d.data.video.prepared import joints
from gesture3d.data.video.prepared.joints import draw, draw_clips, kept_joints, what_is_seen
from gesture3d.errors import Gesture3dError, VideoError
from gesture3d.hands.track import LEFT, RIGHT, HandTrack
from gesture3d.hands.tracker import HandTracker
from tests.clips import write_clip
from tests.hands.painted import GREEN, RED, SIZE, PalmStandIn, landmarks, paint


@pytest.fixture(autouse=True)
def painted_hands(monkeypatch) -> None:
    tracker = HandTracker(networks=(PalmStandIn(), landmarks))
    monkeypatch.setattr(joints, "_tracker", lambda size: tracker)


@pytest.fixture
def index(tmp_path) -> Index:
    """A hand in all frames, in half of them, in none; a file that is no video."""
    hand, nothing = paint((50, 60, RED)), paint()
    clips = {
        "wave/all": [hand] * 6,
        "wave/half": [nothing] * 3 + [hand] * 3,
        "rest/none": [nothing] * 4,
    }
    items = []
    for key, frames in clips.items():
        path = write_clip(tmp_path / f"{key.replace('/', '-')}.mp4", np.stack(frames))
        items.append(Item(key, int(key.startswith("wave")), path))
    (tmp_path / "bad.mp4").write_text("no video")
    items.append(Item("rest/bad", 0, tmp_path / "bad.mp4"))
    return Index(("rest", "wave"), items)


def test_hands_are_kept_under_the_clips_keys_and_counted(index, tmp_path) -> None:
    kept = kept_joints(tmp_path / "hands")
    broken = kept.complete(index, 1, progress=False)
    assert list(broken) == ["rest/bad"]
    track = HandTrack.load(tmp_path / "hands" / "wave" / "all.npz")
    assert (len(track), track.width, track.height) == (6, SIZE, SIZE)
    assert track.seen[:, RIGHT].all()
    rows = what_is_seen(index, kept)
    assert [tuple(row) for row in rows] == [
        ("wave/all", "wave", 6, 6, 0, 6),
        ("wave/half", "wave", 6, 3, 0, 3),
        ("rest/none", "rest", 4, 0, 0, 0),
    ]
    with (tmp_path / "hands" / "hands.csv").open() as file:
        assert [row["either"] for row in csv.DictReader(file)] == ["6", "3", "0"]


def test_what_is_done_stays_and_other_networks_are_refused(index, tmp_path, monkeypatch) -> None:
    kept = kept_joints(tmp_path / "hands")
    kept.complete(index, 1, progress=False)
    done, write = [], joints.write_one
    monkeypatch.setattr(joints, "write_one", lambda s, *how: (done.append(s.name), write(s, *how)))
    kept.path(index.items[1]).unlink()
    kept.complete(index, 1, progress=False)
    assert done == ["wave-half.mp4", "bad.mp4"]
    with pytest.raises(Gesture3dError, match="holds hands with other settings"):
        kept_joints(tmp_path / "hands", "full").complete(index, 1, progress=False)


def test_a_clip_that_is_far_too_long_is_named(index, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(joints, "MAX_BYTES", 5 * 3 * SIZE * SIZE)
    with pytest.raises(VideoError, match=r"6 frames are too many.*cut it"):
        joints.write_one(index.items[0].path, tmp_path / "x.npz", "lite")


def test_a_drawn_hand_is_where_its_joints_are(index, tmp_path) -> None:
    track = HandTracker(networks=(PalmStandIn(), landmarks)).track(
        np.stack([paint((30, 60, RED), (90, 60, GREEN))])
    )
    picture = draw(np.zeros((SIZE, SIZE, 3), np.uint8), track.joints[0])
    for side, channel in ((LEFT, 0), (RIGHT, 1)):
        x, y = np.rint(track.joints[0, side, 9, :2]).astype(int)
        assert picture[y, x].argmax() == channel
        assert picture[y, x, channel] > 100
    kept = kept_joints(tmp_path / "hands")
    kept.complete(index, 1, progress=False)
    assert cv2.imread(str(draw_clips(index, kept, 2))).shape == (480, 6 * 240, 3)


def test_the_tool_reports_by_class(tmp_path, monkeypatch, capsys) -> None:
    for name, frame in (("wave", paint((50, 60, RED))), ("rest", paint())):
        (tmp_path / "clips" / name).mkdir(parents=True)
        write_clip(tmp_path / "clips" / name / "1.mp4", np.stack([frame] * 4))
    monkeypatch.setattr("gesture3d.hands.weights.find_weights", lambda name: None)
    arguments = ["joints", "--data", "folder", "--quiet", "--set", f"data.root={tmp_path}/clips"]
    arguments += ["data.validation_share=0", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["prepare", *arguments])
    assert prepare.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "  0% of the frames with a hand: rest, 1 clips",
        "100% of the frames with a hand: wave, 1 clips",
        "no hand: rest/1.mp4",
        f"hands of 2 clips, in 50.0% of 8 frames; 1 clips without any: {tmp_path}/out/hands.csv",
    ]
